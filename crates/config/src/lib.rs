//! The configuration file: one TOML file, unknown fields refused, units in names, secrets only by reference.
//!
//! A file is parsed into a [`Config`] in which everything is checked and every secret is in hand; nothing of the file's own
//! shape leaves this crate. A file that is wrong gives every problem at once, each with line, column and what to write instead
//! ([`ConfigError`]). Values that could be secrets are never repeated.
//!
//! ```
//! let text = r#"
//! [gateway]
//! listen = "127.0.0.1:9000"
//! "#;
//! let config = lethe_config::parse(text, "lethe.toml".as_ref(), &|_name| None)?;
//! assert_eq!(config.gateway.listen.port(), 9000);
//! assert!(config.engine.enabled, "no provider is configured: the embedded engine serves");
//! # Ok::<(), lethe_config::ConfigError>(())
//! ```

mod address;
mod catalogue;
mod check;
mod credential;
mod date;
mod error;
mod file;
mod model;
mod network;
mod otlp;
mod pem;
pub mod preset;
mod price;
mod provider;
mod secret;
mod secret_files;
mod server;
mod settings;
mod terms;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

pub use address::{BaseUrl, Scheme};
pub use error::{ConfigError, Notice, Problem};
pub use lethe_types::Network;
pub use price::{Amount, Price};
pub use secret_files::SecretFiles;
pub use settings::{ClientTls, Config, Control, Engine, Gateway, Metering, Model, Otlp, Provider, ProviderTerms, Route, Store};

/// Looks up an environment variable; [`process_environment`] outside tests.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The variables of this process.
#[must_use]
pub fn process_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Reads and checks the configuration file at `path`. Secrets come from this process's environment and from files; relative
/// paths in it start at the folder that the file is in.
///
/// # Errors
/// Everything that is wrong with it, or that it cannot be read.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, error.kind()))?;
    parse(&text, path, &process_environment)
}

/// Checks the text of a configuration file. `path` is where it came from: the name in problems, and its folder is where relative
/// paths start.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, path: &Path, environment: Environment<'_>) -> Result<Config, ConfigError> {
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let mut check = check::Check::new(text, path, folder, environment);
    let config = toml::from_str::<file::File>(text).map(|file| settings::from_file(file, &mut check));
    match config {
        Ok(config) => check.finish(config),
        Err(error) => Err(check.syntax(&error)),
    }
}
