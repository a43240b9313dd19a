//! What a server keeps that a target writes to: its whole contents, passed by in pieces for a search.

mod postgres;
mod redis;

pub use postgres::{Connections, Postgres};
pub use redis::Redis;

use std::fmt;

/// Why a server could not be looked at. Addresses and passwords are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// What the URL has to look like.
    Url(&'static str),
    /// It cannot be reached, or ended the connection.
    Gone(std::io::ErrorKind),
    /// It wants a password, or another one.
    Password,
    /// It refused a command; the command's name.
    Command(&'static str),
    /// It does not speak this protocol.
    Protocol,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(form) => write!(f, "the URL has to look like {form}"),
            Self::Gone(kind) => write!(f, "it cannot be reached ({kind})"),
            Self::Password => f.write_str("it wants a password, or another one"),
            Self::Command(name) => write!(f, "it refused {name}"),
            Self::Protocol => f.write_str("what answers there speaks another protocol"),
        }
    }
}

impl std::error::Error for StoreError {}

/// Takes what is kept: a place's name, and its next bytes.
pub type Take<'a> = &'a mut dyn FnMut(&str, &[u8]);

/// What was passed by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Keys or tables.
    pub places: u64,
    pub bytes: u64,
    /// What was left out.
    pub gaps: Vec<String>,
}
