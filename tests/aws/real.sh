#!/usr/bin/env bash
# The same photos here and on AWS itself: 8,088, 50 of them damaged, at batch 100 and 10, then a redrive of the 50. Every outcome is held to the
# run on this machine, and the answers of AWS are kept as tests/aws/fixtures/DATE/. Opt-in, never run by CI.
#
#   FANFOLD_REAL_AWS=yes tests/aws/real.sh FANFOLD      a release build of fanfold for Linux (FANFOLD_BOOTSTRAP=FILE: what workers run)
#
# Credentials and region are those of the AWS tools. It makes three buckets, two stacks called fanfold-real-…, a role and two small functions, all
# with names of its own, and removes them at its end (FANFOLD_REAL_KEEP=yes leaves them).
#
# It costs less than $1, about $0.30 in us-east-1 (prices of October 2026, without the free tier):
#   S3       8,088 uploads, 3 x 8,088 thumbnails and about 3,000 files of outcomes, $0.005 for 1,000 writes        $0.18
#            5 x 8,088 reads and some lists, $0.0004 for 1,000; 263 MB for an hour                                   $0.03
#   Lambda   about 900 invocations, 2 x 8,088 photos of about 50 ms at 1 GiB                                         $0.02
#   Steps    about 900 express children and 100 transitions                                                          $0.03
# What a run reads from this machine is not counted: from outside of AWS the local run fetches 263 MB, up to $0.03.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ "${FANFOLD_REAL_AWS:-}" != yes ] || [ $# -ne 1 ]; then
  sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//'
  exit 2
fi
# shellcheck source=tests/aws/install.sh
. "$here/install.sh"
exec "$python" "$here/real.py" "$(realpath "$1")"
