#!/usr/bin/env bash
# The whole command against vipsthumbnail over the same photos: CPU time, memory, and the median of the paired ratios.
#
#   benches/image_resize.sh FOLDER [ROUNDS]
#
# Needs a release build of fanfold (FANFOLD=path for another one), vipsthumbnail (Debian: libvips-tools) and GNU time
# (Debian: time). Each round runs both, one after the other, so that whatever else the machine does falls on both.
set -euo pipefail

photos=$(realpath "${1:?usage: benches/image_resize.sh FOLDER [ROUNDS]}")
rounds=${2:-5}
here=$(cd "$(dirname "$0")/.." && pwd)
fanfold=${FANFOLD:-$here/target/release/fanfold}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Seconds of CPU, user and system, and the peak of memory in MiB, of one command; its own output goes to a file.
measure() {
    /usr/bin/time -o "$work/time" -f '%U %S %M' "$@" >"$work/stdout" 2>"$work/stderr" || {
        cat "$work/stderr" >&2
        exit 1
    }
    awk '{ printf "%.3f %.0f\n", $1 + $2, $3 / 1024 }' "$work/time"
}

count=$(find "$photos" -maxdepth 1 -type f | wc -l)
echo "$count files, $rounds rounds; $(vipsthumbnail --vips-version 2>/dev/null | head -1); $("$fanfold" --version)"
for round in $(seq "$rounds"); do
    rm -rf "$work/vips" "$work/ours" "$work/state"
    mkdir -p "$work/vips"
    read -r vips_cpu vips_mib < <(VIPS_CONCURRENCY=1 measure vipsthumbnail "$photos"/* -s 128x128 -o "$work/vips/%s.jpg[Q=80,strip]")
    read -r our_cpu our_mib < <(measure "$fanfold" --state-dir "$work/state" run "$here/workflows/resize-photos.yaml" \
        -p source="$photos" -p destination="$work/ours")
    made=$(find "$work/ours" -type f | wc -l)
    echo "$round $count $made $vips_cpu $vips_mib $our_cpu $our_mib" | tee -a "$work/rounds" | awk '{
        printf "round %d: vips %.3f ms/photo, %d MiB; fanfold %.3f ms/photo, %d MiB; %.3f x; %d made\n",
            $1, $4 * 1000 / $2, $5, $6 * 1000 / $2, $7, $6 / $4, $3 }'
done
awk '{ print $6 / $4 }' "$work/rounds" | sort -n | awk '{ ratio[NR] = $1 } END {
    middle = NR % 2 ? ratio[(NR + 1) / 2] : (ratio[NR / 2] + ratio[NR / 2 + 1]) / 2
    printf "median %.3f x (%.3f to %.3f)\n", middle, ratio[1], ratio[NR] }'
