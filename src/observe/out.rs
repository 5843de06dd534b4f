//! stdout and stderr, of which either may have gone away or be full.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;
use std::sync::PoisonError;

/// The first thing that could not be written to stdout.
static TROUBLE: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes a line of data to stdout. A reader that has gone away (`| head`) has what it wanted; anything else is kept for
/// [`trouble`].
pub(crate) fn data(text: impl Display) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        TROUBLE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// What went wrong with stdout, if something did.
pub(crate) fn trouble() -> Option<io::Error> {
    TROUBLE.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Writes a line for people to stderr. Nobody there is no trouble: what happens is in the record.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A name of somebody else's as it is shown to people: what a terminal would obey instead of showing is written out.
pub(crate) fn shown(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_name_cannot_command_a_terminal() {
        assert_eq!(shown("café \u{1b}[2J\n.jpg"), "café \\u{1b}[2J\\n.jpg");
    }
}
