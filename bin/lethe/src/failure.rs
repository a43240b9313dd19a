//! Why a command ends with another code than 0.

use std::process::ExitCode;

use crate::say;

/// Wrong usage or configuration (sysexits.h, `EX_USAGE`).
pub(crate) const USAGE: u8 = 64;
const FAILED: u8 = 1;
/// `lethe audit`: a control failed or the target could not be exercised.
const NO_VERDICT: u8 = 2;

/// A message for a person, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// A check failed, or something went wrong.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }

    /// Wrong usage or configuration: the message says what to write instead.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// A check failed, and everything about it has been said.
    pub(crate) const fn quiet() -> Self {
        Self::told(FAILED)
    }

    /// The audit has no verdict, and why.
    pub(crate) fn no_verdict(message: impl Into<String>) -> Self {
        Self { code: NO_VERDICT, message: message.into() }
    }

    /// Everything has been said but the code.
    pub(crate) const fn told(code: u8) -> Self {
        Self { code, message: String::new() }
    }

    /// Says it.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            say::complain(&format!("lethe: {}", self.message));
        }
        ExitCode::from(self.code)
    }

    /// What it would say.
    pub(crate) fn text(self) -> String {
        self.message
    }

    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}
