#!/usr/bin/env bash
# The 8,088 photos of the main job here and where others play AWS (tests/aws/rig.sh): wall time and children at batch 100 and 10, every outcome
# held to the run here, then the redrive of the 50 that were damaged.
#
#   benches/aws.sh FANFOLD      a release build
set -euo pipefail
fanfold=$(realpath "${1:?usage: benches/aws.sh FANFOLD}")
here=$(cd "$(dirname "$0")/.." && pwd)
answers=$(mktemp -d)
trap 'rm -rf "$answers"' EXIT
"$here/tests/aws/rig.sh" env FANFOLD_REAL_AWS=yes FANFOLD_REAL_FIXTURES="$answers" "$here/tests/aws/real.sh" "$fanfold"
