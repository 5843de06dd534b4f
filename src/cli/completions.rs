//! `completions`: a completion script for a shell.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::error::Result;

/// Prints a completion script.
#[derive(Debug, Args)]
#[command(after_help = "For example:\n  fanfold completions bash > ~/.local/share/bash-completion/completions/fanfold")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn go(self, mut command: Command) -> Result<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "fanfold", &mut script);
        super::report::data(String::from_utf8_lossy(&script).trim_end());
        Ok(0)
    }
}
