#!/usr/bin/env bash
# What the ledger costs: 64 items at once, each of which makes call after call that is answered at once; START is durable before each.
#
#   benches/ledger.sh [ROUNDS]
#
# Needs `cargo build --release --bench calls` (CALLS=path for another one), GNU time (Debian: time) and python3.
set -euo pipefail

rounds=${1:-3}
here=$(cd "$(dirname "$0")/.." && pwd)
# Of several builds the newest.
calls=${CALLS:-$(find "$here/target/release/deps" -name 'calls-*' -perm -u+x -type f -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -c "
for i in range(6400): print('{\"id\":%d}' % i)" >items.jsonl
for effect in true false; do
    printf 'fanfold: 1\nname: %s\nitems:\n  jsonl: { source: items.jsonl }\nbatch: { max_items: 1 }\nmax_concurrency: 64\njob:\n  calls: { calls: 50, effect: %s }\n' \
        "e$effect" "$effect" >"$effect.yaml"
done

for round in $(seq "$rounds"); do
    for effect in true false; do
        /usr/bin/time -o time -f '%U %S %e %M' "$calls" run "$effect.yaml" --as "$effect$round" >out 2>err || { cat err >&2; exit 1; }
        read -r user system wall kib <time
        awk -v r="$round" -v e="$effect" -v u="$user" -v s="$system" -v w="$wall" -v k="$kib" 'BEGIN {
            n = 6400 * 50
            printf "round %d, %s: %.2f us CPU a call (%.2f user, %.2f system), %d calls/s, %d MiB\n",
                r, e == "true" ? "START and DONE" : "DONE alone", (u + s) * 1e6 / n, u * 1e6 / n, s * 1e6 / n, n / w, k / 1024 }'
    done
done
