//! Format and clippy. What a data-plane crate must never call is in `clippy/dataplane/clippy.toml`; it holds for the code that is
//! shipped, not for its tests, which may open files to look for what must not be there.

use crate::house::{Failed, House, run};

/// Under the strict rules. Not here: `lethe-confine`, whose work is to open things before the walls stand and to try the ways out
/// afterwards; each call it makes is in its own self-test.
const STRICT: &[&str] = &[
    "lethe-content",
    "lethe-dataplane",
    "lethe-engine",
    "lethe-gateway",
    "lethe-handover",
    "lethe-http1",
    "lethe-link",
    "lethe-node",
    "lethe-policy",
    "lethe-providers",
    "lethe-tls",
    "lethe-types",
    "lethe-usage",
    "lethe-wire",
];

pub(crate) fn format(house: &House) -> Result<(), Failed> {
    run(&mut house.cargo(&["fmt", "--all", "--check"]))
}

pub(crate) fn data_plane(house: &House) -> Result<(), Failed> {
    let mut clippy = house.cargo(&["clippy", "--release", "--locked", "--quiet", "--no-deps", "--lib", "--bins"]);
    clippy.env("CLIPPY_CONF_DIR", house.root.join("clippy/dataplane"));
    for package in STRICT {
        clippy.args(["-p", package]);
    }
    run(clippy.args(["--", "-D", "warnings"]))
}

pub(crate) fn workspace(house: &House) -> Result<(), Failed> {
    run(&mut house.cargo(&["clippy", "--release", "--locked", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}
