#!/usr/bin/env bash
# What the engine costs by itself: a million items of which each is nothing, recorded durably; memory, record and resume.
#
#   benches/overhead.sh [ROUNDS]
#
# Needs `cargo build --release --bench noop` (NOOP=path for another one), GNU time (Debian: time) and python3.
set -euo pipefail

rounds=${1:-5}
here=$(cd "$(dirname "$0")/.." && pwd)
# Of several builds the newest.
noop=${NOOP:-$(find "$here/target/release/deps" -name 'noop-*' -perm -u+x -type f -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

make() {
    python3 -c "
for i in range($1): print('{\"id\":%d,\"name\":\"item %d\"}' % (i, i))" >"$2.jsonl"
    printf 'fanfold: 1\nname: %s\nitems:\n  jsonl: { source: %s.jsonl }\nbatch: { max_items: 100 }\njob:\n  noop: {}\n' "$2" "$2" >"$2.yaml"
}
make 10000 small
make 1000000 large

run() { /usr/bin/time -o time -f '%U %S %e %M' "$noop" "$@" >out 2>err || { cat err >&2; exit 1; }; }

run run small.yaml
read -r _ _ _ small_kib <time
for round in $(seq "$rounds"); do
    run run large.yaml --as "r$round"
    read -r user system wall kib <time
    db=$(stat -c %s ".fanfold/runs/r$round/run.db")
    awk -v r="$round" -v u="$user" -v s="$system" -v w="$wall" -v k="$kib" -v small="$small_kib" -v db="$db" 'BEGIN {
        printf "round %d: %.2f us CPU an item (%.2f user, %.2f system), %.1f s, %d MiB (%+d to 10,000 items), run.db %.2f MB\n",
            r, u + s, u, s, w, k / 1024, (k - small) / 1024, db / 1e6 }'
done

# Stopped with one item left, then resumed: how long until it is done.
"$noop" run large.yaml --as left --limit 999999 >out 2>err || true
start=$(date +%s%N)
run resume left
echo "resume of 999,999 finished items: $(( ($(date +%s%N) - start) / 1000000 )) ms to the end of the last one"
