//! Causes of errors, and how an error is said in one line.
//!
//! The message of an error of this program is whole: it says what failed, why, and what to do, so
//! that the cause stands in the middle of the sentence. For callers that want to know more than a
//! person reads, [`std::error::Error::source`] gives the cause too. A chain that is printed link by
//! link, as `{:#}` of anyhow does it, would then say the cause twice; [`message`] says it once.

mod colour;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::Write;
use std::sync::Arc;

pub(crate) use colour::{coloured, shows_colour, switch_off};

/// What led to an error whose own message already says it.
///
/// It is shared, so that errors remain cheap to clone. Its source is the error that it holds. Two
/// causes are equal when they say the same.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    pub(crate) fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Cause {
        Cause(Arc::from(error.into()))
    }

    /// The error itself, where it is of type `E`.
    pub(crate) fn get<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Cause) -> bool {
        self.to_string() == other.to_string()
    }
}

/// The line for the user: the contexts, outermost first, and the error that they were given to,
/// with colons between them, up to the first [`Cause`].
pub(crate) fn message(error: &anyhow::Error) -> String {
    let untold = error.chain().take_while(|link| !link.is::<Cause>());
    untold.map(|link| link.to_string()).collect::<Vec<_>>().join(": ")
}

/// `text` without characters that a terminal obeys instead of showing them: control characters other
/// than the end of a line, and those that change the direction of writing. Names and messages may be
/// from files of others.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let is_obeyed = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if is_obeyed(c) { c.escape_default().to_string() } else { c.into() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// Prints a line on standard error. A terminal that is gone does not matter.
pub(crate) fn tell(line: &str) {
    let (line, mut stderr) = (printable(line), std::io::stderr());
    let _ = match shows_colour(&stderr) {
        true => writeln!(stderr, "{}", coloured(&line)),
        false => writeln!(stderr, "{line}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::io;

    #[derive(Debug, Clone, PartialEq, thiserror::Error)]
    #[error("prices.csv: {cause}; name another file")]
    struct Unreadable {
        #[source]
        cause: Cause,
    }

    fn unreadable() -> Unreadable {
        Unreadable { cause: Cause::new(io::Error::new(io::ErrorKind::NotFound, "no such file")) }
    }

    #[test]
    fn a_cause_is_said_once_and_found_in_the_chain() {
        let error = Err::<(), _>(unreadable()).context("training data").unwrap_err();
        assert_eq!(message(&error), "training data: prices.csv: no such file; name another file");
        let found = error.chain().find_map(|link| link.downcast_ref::<io::Error>());
        assert_eq!(found.unwrap().kind(), io::ErrorKind::NotFound);
        assert_eq!(unreadable().cause.get::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
        assert_eq!(unreadable(), unreadable().clone());
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert!(matches!(printable("AAPL: 3 µs\nMSFT"), Cow::Borrowed(_)));
        let title = "\u{1b}]0;title\u{7}\r\t\u{9b}31m\u{202e}";
        assert_eq!(printable(title), r"\u{1b}]0;title\u{7}\r\t\u{9b}31m\u{202e}");
    }

    #[test]
    fn chains_of_others_are_said_link_by_link() {
        let error = anyhow::Error::new(io::Error::other("disk gone")).context("the journal");
        assert_eq!(message(&error), "the journal: disk gone");
    }

    /// `{:#}` of anyhow would say causes twice.
    #[test]
    fn nothing_prints_a_chain_by_itself() {
        let mut folders = vec![std::path::PathBuf::from("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("errors.rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let alternate = concat!(":", "#}");
                    assert!(!text.contains(alternate), "{}: use errors::message", path.display());
                }
            }
        }
    }
}
