#!/usr/bin/env bash
# From exec to the first request to the runtime API of Lambda, and the memory by then: fanfold beside a bare hello of lambda_runtime.
#
#   benches/lambda_start.sh [ROUNDS]
#
# Needs `cargo build --release` (FANFOLD=path for another program) and python3. Builds the hello in a folder of its own, which is gone
# afterwards, with the versions of this Cargo.lock (HELLO=path for one that is there already).
set -euo pipefail

rounds=${1:-50}
here=$(cd "$(dirname "$0")/.." && pwd)
fanfold=${FANFOLD:-$here/target/release/fanfold}
if [ -z "${HELLO:-}" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir "$work/src"
    cat >"$work/Cargo.toml" <<'END'
[package]
name = "hello"
version = "0.1.0"
edition = "2024"

[dependencies]
lambda_runtime = { version = "1.5", default-features = false }
serde_json = "1"
tokio = { version = "1", features = ["rt", "macros"] }

[profile.release]
lto = "thin"
codegen-units = 1
strip = true
END
    cat >"$work/src/main.rs" <<'END'
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move { Ok::<_, Error>(event.payload) })).await
}
END
    cp "$here/Cargo.lock" "$work/"
    (cd "$work" && cargo build --release --quiet)
    HELLO="$work/target/release/hello"
fi
python3 "$here/benches/lambda_start.py" "$rounds" "hello=$HELLO" "fanfold=$fanfold"
