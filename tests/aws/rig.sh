#!/usr/bin/env bash
# AWS on this machine for as long as a command runs: ministack (Step Functions, Lambda as real processes, CloudFormation) and SeaweedFS (S3
# that checks signatures), pinned, on 127.0.0.1 only. pip fetches them once into target/aws. What of it is ours stands in engine.py.
#
#   tests/aws/rig.sh COMMAND [ARG…]     with AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3, AWS_REGION, keys, FANFOLD_RIG (its folder, gone
#                                       afterwards) and FANFOLD_RIG_PYTHON set
#
# FANFOLD_RIG_CHILDREN (8) is how many children run at once at most, FANFOLD_RIG_EXPRESS_SECONDS (300) how long an express one may take.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# shellcheck source=tests/aws/install.sh
. "$here/install.sh"
exec "$python" "$here/rig.py" up "$@"
