//! Why a measurement could not be made, in words for whoever started it.

use std::fmt;
use std::io;

/// What went wrong, and what to do about it where that is known.
#[derive(Debug)]
pub(crate) struct Problem(String);

impl Problem {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says what was being done when an error came up.
pub(crate) trait While<T> {
    /// `what` is a sentence without its full stop: "start nginx".
    fn doing(self, what: &str) -> Result<T, Problem>;
}

impl<T, E: fmt::Display> While<T> for Result<T, E> {
    fn doing(self, what: &str) -> Result<T, Problem> {
        self.map_err(|error| Problem(format!("{what}: {error}")))
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}
