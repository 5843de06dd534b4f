#!/usr/bin/env bash
# Installs the validators of others for definitions of state machines, pinned, and runs the tests that need them. npm and pip fetch them
# once into target/validators.
#
#   tests/validators.sh
set -euo pipefail
cd "$(dirname "$0")/.."

versions='asl-validator@4.0.0 amazon-states-language-service@1.16.1 cfn-lint==1.58.0'
folder=$PWD/target/validators
if [ "$(cat "$folder/versions" 2>/dev/null)" != "$versions" ]; then
  rm -rf "$folder"
  mkdir -p "$folder"
  for package in $versions; do
    case $package in
      *==*) python3 -m venv "$folder/python" && "$folder/python/bin/pip" install --quiet "$package" ;;
      *) npm install --silent --no-audit --no-fund --prefix "$folder" "$package" ;;
    esac
  done
  echo "$versions" >"$folder/versions"
fi
cp tests/validators/language_service.js "$folder/"

FANFOLD_TEST_VALIDATORS=$folder cargo test --test suite definition_validators -- --ignored
