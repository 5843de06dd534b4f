//! The `fanfold` binary: the jobs that come with it and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    fanfold::main(fanfold::Jobs::builtin())
}
