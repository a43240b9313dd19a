//! What is measured: the mock upstream itself, and a proxy before it.

mod lethe;
mod mock;
mod nginx;

use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) use lethe::{Lethe, version as lethe_version};
pub(crate) use mock::Mock;
pub(crate) use nginx::{Nginx, version as nginx_version};

use crate::problem::{Problem, While as _};
use crate::workload::Workload;

/// Somebody who answers chat completions.
pub(crate) trait Target {
    /// As it stands in the report.
    fn name(&self) -> &'static str;

    /// Where to ask.
    fn address(&self, workload: Workload) -> SocketAddr;

    /// The key to show, where one is asked for.
    fn api_key(&self) -> Option<&str> {
        None
    }

    /// Its processes by role.
    fn processes(&self) -> Vec<(String, u32)>;
}

/// The executable `name` in the folder of this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf, Problem> {
    let own = std::env::current_exe().doing("find this executable")?;
    let path = own.with_file_name(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(Problem::new(format!(
            "{} is not built: cargo build --release -p lethe -p lethe-dataplane -p lethe-engine",
            path.display()
        )))
    }
}

/// A folder under the system's one for temporary files that every user may enter: parts of Lethe and nginx's workers run as other
/// users when this runs as root.
fn folder() -> Result<tempfile::TempDir, Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::TempDir::with_prefix("lethe-bench-").doing("make a folder")?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).doing("open the folder")?;
    Ok(folder)
}
