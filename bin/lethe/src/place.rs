//! Which running Lethe a command speaks to: `--state DIR`, or `--url` with a token.

use std::path::PathBuf;

/// Where the running Lethe is.
#[derive(clap::Args, Clone)]
pub(crate) struct Place {
    /// State folder of the Lethe on this machine
    #[arg(long, value_name = "DIR", env = "LETHE_STATE", default_value = "./lethe-state")]
    pub(crate) state: PathBuf,
    /// Console address of a Lethe elsewhere, such as https://10.0.0.5:8443
    #[arg(long, value_name = "URL", requires = "token_file")]
    pub(crate) url: Option<String>,
    /// File that holds an operator token for --url
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificate (PEM) that --url is checked against; default: DIR/console-ca.pem, else the public web's roots
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) ca: Option<PathBuf>,
}

impl Place {
    /// The operator socket.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.state.join(CONTROL_SOCKET)
    }

    /// The authority of the console's certificate.
    pub(crate) fn console_ca(&self) -> PathBuf {
        self.ca.clone().unwrap_or_else(|| self.state.join(CONSOLE_CA))
    }
}

/// The operator interface, in the state folder.
pub(crate) const CONTROL_SOCKET: &str = "control.sock";
/// The supervisor's reports, in the state folder.
pub(crate) const SUPERVISOR_SOCKET: &str = "supervisor.sock";
/// The authority's certificate, in the state folder.
pub(crate) const CONSOLE_CA: &str = "console-ca.pem";
