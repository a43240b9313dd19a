//! Bounds that fit the place: what the gateway may hold is derived from what the kernel lets it have, before the kernel has to say no.

use std::path::Path;

use lethe_config::Gateway;

use super::memory_limit::{self, Limit};
use crate::{failure::Failure, say};

const MIB: u64 = 1024 * 1024;
/// Supervisor, control and dialer, and the gateway itself before its first client: 60 MB together where it was measured.
const PARTS: u64 = 96 * MIB;
/// An idle connection with TLS, 14 KB where it was measured (tests/hard/idle.rs holds it below this).
const IDLE_BYTES: u64 = 24 * 1024;
/// Less than this for connections and content is no gateway.
const LEAST: u64 = 32 * MIB;
/// Descriptors beside those of clients and their providers' connections.
const OTHER_DESCRIPTORS: u64 = 1024;

/// What fits.
#[derive(Debug, PartialEq, Eq)]
struct Fits {
    content_mib: u32,
    connections: u32,
    body_mib: u32,
}

/// Fits the bounds in `gateway` to the limits of memory and of open descriptors, and says what was lowered. `model` is the embedded
/// engine's.
pub(crate) fn fit(gateway: &mut Gateway, model: Option<&Path>) -> Result<(), Failure> {
    let model = model.and_then(|path| path.metadata().ok()).map_or(0, |file| file.len());
    // The engine holds its weights, and about as much again for what it computes.
    if let Some(limit) = memory_limit::read() {
        let fits = by_memory(gateway, limit, model * 2).map_err(Failure::failed)?;
        if let Some(written) = gateway.max_content_mib
            && written > fits.content_mib
        {
            lowered("max_content_mib", written, fits.content_mib, "of the memory limit");
        }
        gateway.max_content_mib = Some(gateway.max_content_mib.map_or(fits.content_mib, |written| written.min(fits.content_mib)));
        lower(&mut gateway.max_connections, fits.connections, "max_connections", "of the memory limit");
        lower(&mut gateway.max_body_mib, fits.body_mib, "max_body_mib", "of the memory limit");
    }
    // A client and its provider's connection, for each request; and some for everything else.
    let granted = lethe_supervisor::raise_descriptor_limit(u64::from(gateway.max_connections) * 2 + OTHER_DESCRIPTORS)
        .map_err(|error| Failure::failed(format!("the limit of open descriptors cannot be raised: {error}")))?;
    let connections = granted.saturating_sub(OTHER_DESCRIPTORS.min(granted / 4)) / 2;
    let connections = u32::try_from(connections).unwrap_or(u32::MAX).max(1);
    lower(&mut gateway.max_connections, connections, "max_connections", "of the limit of open descriptors (ulimit -Hn)");
    Ok(())
}

/// Of what is left beside the parts: three eighths for content, as much again for what the allocator keeps between blocks that grow and
/// the kernel for sockets, and a quarter for idle connections.
fn by_memory(gateway: &Gateway, limit: Limit, engine: u64) -> Result<Fits, String> {
    let (bytes, source) = match limit {
        Limit::ControlGroup(bytes) => (bytes, "its control group"),
        // Others live here too.
        Limit::Machine(bytes) => (bytes / 2, "half of this machine"),
    };
    let free = bytes.saturating_sub(PARTS + engine);
    if free < LEAST {
        return Err(format!(
            "there is too little memory: Lethe needs at least {} MiB, and {source} has {} MiB",
            (PARTS + engine + LEAST).div_ceil(MIB),
            bytes / MIB
        ));
    }
    let mib = |bytes: u64| u32::try_from(bytes / MIB).unwrap_or(u32::MAX);
    let content = free / 8 * 3;
    // A body is held twice while it is patched, and one client alone does not fill the place.
    let body = mib(content / 4).max(1);
    let connections = u32::try_from(free / 4 / IDLE_BYTES).unwrap_or(u32::MAX);
    Ok(Fits {
        content_mib: mib(content),
        connections: gateway.max_connections.min(connections),
        body_mib: gateway.max_body_mib.min(body),
    })
}

fn lower(value: &mut u32, fits: u32, name: &str, why: &str) {
    if *value > fits {
        lowered(name, *value, fits, why);
        *value = fits;
    }
}

fn lowered(name: &str, from: u32, to: u32, why: &str) {
    say::complain(&format!("lethe: {name} is {to} instead of {from}, because {why}"));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use lethe_config::Gateway;

    use super::{Fits, Limit, MIB, by_memory};

    #[test]
    fn bounds_follow_from_the_limit() {
        let gateway = Gateway::default();
        let fits = |mib| by_memory(&gateway, Limit::ControlGroup(mib * MIB), 0);
        assert_eq!(fits(352).unwrap(), Fits { content_mib: 96, connections: 2730, body_mib: 24 });
        assert_eq!(fits(160).unwrap(), Fits { content_mib: 24, connections: 682, body_mib: 6 });
        assert_eq!(fits(65_536).unwrap(), Fits { content_mib: 24_540, connections: 10_000, body_mib: 32 });
        let error = fits(100).unwrap_err();
        assert!(error.contains("128 MiB") && error.contains("100 MiB"), "{error}");
        let machine = by_memory(&gateway, Limit::Machine(1024 * MIB), 0).unwrap();
        assert_eq!(machine, by_memory(&gateway, Limit::ControlGroup(512 * MIB), 0).unwrap(), "half of a machine's memory");
        assert!(by_memory(&gateway, Limit::ControlGroup(352 * MIB), 300 * MIB).is_err(), "the engine counts");
    }

    #[test]
    fn every_bound_together_fits_into_the_limit() {
        for mib in [160, 256, 512, 2048, 16_384] {
            let fits = by_memory(&Gateway::default(), Limit::ControlGroup(mib * MIB), 0).unwrap();
            let most = u64::from(fits.content_mib) * 2 * MIB + u64::from(fits.connections) * super::IDLE_BYTES + super::PARTS;
            assert!(most <= mib * MIB, "{mib} MiB");
            assert!(u64::from(fits.body_mib) * 4 <= u64::from(fits.content_mib), "{mib} MiB: a body's two copies leave room");
        }
    }
}
