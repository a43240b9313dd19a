//! Collects problems while a file is checked, with the place of each.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use crate::{Config, ConfigError, Environment, Notice, Problem, secret_files::SecretFiles, settings::Written};

/// State of one check.
pub(crate) struct Check<'a> {
    text: &'a str,
    file: &'a Path,
    folder: PathBuf,
    environment: Environment<'a>,
    problems: Vec<Problem>,
    notices: Vec<Notice>,
    secret_files: SecretFiles,
}

impl<'a> Check<'a> {
    pub(crate) fn new(text: &'a str, file: &'a Path, folder: PathBuf, environment: Environment<'a>) -> Self {
        Self { text, file, folder, environment, problems: Vec::new(), notices: Vec::new(), secret_files: SecretFiles::default() }
    }

    /// Notes that what stands at `span` is wrong.
    pub(crate) fn problem(&mut self, span: Range<usize>, message: impl Into<String>) {
        let problem = self.at(span, message.into());
        self.problems.push(problem);
    }

    /// Notes what an operator should know about what stands at `span`.
    pub(crate) fn notice(&mut self, span: Range<usize>, message: impl Into<String>) {
        let notice = self.at(span, message.into());
        self.notices.push(notice);
    }

    /// `result`'s value, or a problem at `span`.
    pub(crate) fn take<T>(&mut self, span: Range<usize>, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.problem(span, message)).ok()
    }

    /// The value of an environment variable.
    pub(crate) fn variable(&self, name: &str) -> Option<std::ffi::OsString> {
        (self.environment)(name)
    }

    /// `path`, from the folder of the configuration file where it is relative.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Notes that a secret is read from `path`.
    pub(crate) fn secret_file(&mut self, path: PathBuf) {
        self.secret_files.add(path);
    }

    /// The configuration, or all problems in the order of the file.
    pub(crate) fn finish(mut self, mut config: Config) -> Result<Config, ConfigError> {
        if self.problems.is_empty() {
            self.notices.sort_by_key(|notice| (notice.line, notice.column));
            config.notices = self.notices;
            config.written =
                Some(Written { text: self.text.to_owned(), path: self.file.to_path_buf(), secrets: self.secret_files });
            return Ok(config);
        }
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        Err(ConfigError { file: self.file.to_path_buf(), problems: self.problems })
    }

    /// What the TOML parser or a field's type objects to.
    pub(crate) fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(0..0);
        ConfigError { file: self.file.to_path_buf(), problems: vec![self.at(span, without_values(error.message()))] }
    }

    fn at(&self, span: Range<usize>, message: String) -> Problem {
        let start = span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
        Problem { line: saturated(line), column: saturated(column), message }
    }
}

fn saturated(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// serde quotes the value that it did not expect (`invalid type: string "…", expected …`); the value could be a secret that
/// stands in the wrong place, so only its type stays.
fn without_values(message: &str) -> String {
    for prefix in ["invalid type: ", "invalid value: ", "invalid length "] {
        let Some(rest) = message.strip_prefix(prefix) else { continue };
        let kind = rest.split([' ', ',']).next().unwrap_or_default();
        let expected =
            message.rfind(", expected ").and_then(|at| message.get(at + ", expected ".len()..)).unwrap_or("something else");
        return format!("{kind} does not belong here: write {expected}");
    }
    if message.starts_with("unknown variant") {
        let expected =
            message.rfind(", expected ").and_then(|at| message.get(at + ", expected ".len()..)).unwrap_or("another value");
        return format!("unknown value: write {expected}");
    }
    message.to_owned()
}
