//! What is wrong with a configuration file, where, and what to write instead.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
    /// What is wrong and what to write instead. Holds names, never the value of a secret.
    pub message: String,
}

/// Something that is allowed but that an operator should know.
pub type Notice = Problem;

/// Everything that is wrong with a file. `Display` gives one line per problem: `file:line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// At least one problem, in the order of the file.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(crate) fn unreadable(file: &Path, kind: std::io::ErrorKind) -> Self {
        let message = format!("the file cannot be read ({kind}); name an existing file with --config");
        Self { file: file.to_path_buf(), problems: vec![Problem { line: 1, column: 1, message }] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{}:{}: {}", self.file.display(), problem.line, problem.column, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
