//! `[gateway]`, `[control]` and `[engine]`.

use std::{net::SocketAddr, path::PathBuf};

use toml::Spanned;

use crate::{
    ClientTls, Control, Engine, Gateway, Metering, Network, Store,
    check::Check,
    file::{FileControl, FileEngine, FileGateway, FileTls},
    otlp, pem,
};

pub(crate) fn gateway(file: FileGateway, check: &mut Check<'_>) -> Gateway {
    let defaults = Gateway::default();
    let listen = address(file.listen.as_ref(), defaults.listen, "listen", check);
    let probes = address(file.probes.as_ref(), defaults.probes, "probes", check);
    if listen == probes && listen.port() != 0 {
        let span = file.probes.as_ref().or(file.listen.as_ref()).map_or(0..0, Spanned::span);
        check.problem(span, "listen and probes are the same address: write another port for probes");
    }
    if file.tls.is_none()
        && !listen.ip().is_loopback()
        && let Some(written) = &file.listen
    {
        check.problem(
            written.span(),
            format!(
                "{listen} can be reached from outside, and nothing protects it in transit: write \
                 tls = {{ cert = \"cert.pem\", key = \"key.pem\" }}, or tls = \"terminated-by-proxy\" with \
                 trusted_peers = [\"10.0.0.5\"], or listen on 127.0.0.1"
            ),
        );
    }
    let tls = client_tls(&file, check);
    let number = |written: Option<&Spanned<u32>>, default, range, name, check: &mut Check<'_>| {
        bounded(written, range, name, check).unwrap_or(default)
    };
    Gateway {
        listen,
        probes,
        tls,
        workers: bounded(file.workers.as_ref(), 1..=256, "workers", check).and_then(|workers| u16::try_from(workers).ok()),
        max_body_mib: number(file.max_body_mib.as_ref(), defaults.max_body_mib, 1..=1024, "max_body_mib", check),
        max_connections: number(file.max_connections.as_ref(), defaults.max_connections, 1..=1_000_000, "max_connections", check),
        max_content_mib: bounded(file.max_content_mib.as_ref(), 8..=1_048_576, "max_content_mib", check),
        head_seconds: number(file.head_seconds.as_ref(), defaults.head_seconds, 1..=3600, "head_seconds", check),
        body_idle_seconds: number(
            file.body_idle_seconds.as_ref(),
            defaults.body_idle_seconds,
            1..=3600,
            "body_idle_seconds",
            check,
        ),
        keep_alive_seconds: number(
            file.keep_alive_seconds.as_ref(),
            defaults.keep_alive_seconds,
            1..=86_400,
            "keep_alive_seconds",
            check,
        ),
        min_bytes_per_second: number(
            file.min_bytes_per_second.as_ref(),
            defaults.min_bytes_per_second,
            0..=1_000_000,
            "min_bytes_per_second",
            check,
        ),
        drain_seconds: number(file.drain_seconds.as_ref(), defaults.drain_seconds, 0..=3600, "drain_seconds", check),
        max_pending_records: number(
            file.max_pending_records.as_ref(),
            defaults.max_pending_records,
            100..=10_000_000,
            "max_pending_records",
            check,
        ),
        metering: metering(file.metering.as_ref(), check).unwrap_or(defaults.metering),
        recycle_hours: number(file.recycle_hours.as_ref(), defaults.recycle_hours, 1..=8760, "recycle_hours", check),
        max_stale_seconds: number(
            file.max_stale_seconds.as_ref(),
            defaults.max_stale_seconds,
            // Control is heard of once a second.
            2..=3600,
            "max_stale_seconds",
            check,
        ),
    }
}

fn metering(written: Option<&Spanned<String>>, check: &mut Check<'_>) -> Option<Metering> {
    let written = written?;
    let metering = match written.get_ref().as_str() {
        "buffered" => Ok(Metering::Buffered),
        "strict" => Ok(Metering::Strict),
        _ => Err("there are two ways: write metering = \"buffered\" or metering = \"strict\"".to_owned()),
    };
    check.take(written.span(), metering)
}

fn client_tls(file: &FileGateway, check: &mut Check<'_>) -> ClientTls {
    let peers = file.trusted_peers.as_ref();
    match (file.tls.as_ref().map(Spanned::get_ref), peers) {
        (Some(FileTls::TerminatedByProxy), Some(peers)) if !peers.get_ref().is_empty() => {
            let network = |written: &Spanned<String>| {
                let network = Network::parse(written.get_ref());
                let message = || "this is no address or range: write \"10.0.0.5\" or \"10.0.0.0/24\"".to_owned();
                check.take(written.span(), network.ok_or_else(message))
            };
            ClientTls::TerminatedByProxy { trusted_peers: peers.get_ref().iter().filter_map(network).collect() }
        }
        (Some(FileTls::TerminatedByProxy), _) => {
            let span = peers.map_or_else(|| file.tls.as_ref().map_or(0..0, Spanned::span), Spanned::span);
            check.problem(span, "which proxy? Write trusted_peers = [\"10.0.0.5\"] with the addresses that it connects from");
            ClientTls::None
        }
        (_, Some(peers)) => {
            check.problem(
                peers.span(),
                "trusted_peers belongs to tls = \"terminated-by-proxy\": write that, or leave trusted_peers out",
            );
            ClientTls::None
        }
        (Some(FileTls::Files(files)), None) => {
            let chain = pem::certificates(&check.path(files.cert.get_ref()));
            let chain = check.take(files.cert.span(), chain);
            let key = pem::private_key(&check.path(files.key.get_ref()));
            let key = check.take(files.key.span(), key);
            chain.zip(key).map_or(ClientTls::None, |(chain, key)| ClientTls::Own { chain, key })
        }
        (None, None) => ClientTls::None,
    }
}

pub(crate) fn control(file: &FileControl, check: &mut Check<'_>) -> Control {
    let defaults = Control::default();
    let console = address(file.console.as_ref(), defaults.console, "console", check);
    if !console.ip().is_loopback()
        && let Some(written) = &file.console
    {
        check.problem(written.span(), "the console listens on loopback only in this version: write console = \"127.0.0.1:8443\"");
    }
    let store = file.store.as_ref().and_then(|written| {
        let store = store(written.get_ref());
        check.take(written.span(), store.map_err(str::to_owned))
    });
    let otlp = file.otlp.as_ref().and_then(|otlp| otlp::checked(otlp, check));
    Control { store: store.unwrap_or(defaults.store), console, otlp }
}

/// A PostgreSQL address carries a password: no message repeats it.
fn store(written: &str) -> Result<Store, &'static str> {
    if written.starts_with("postgres://") || written.starts_with("postgresql://") {
        return Err("PostgreSQL is not in this version: write store = \"sqlite:control.db\"");
    }
    match written.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() && !path.starts_with("//") && !path.starts_with(':') && !path.contains(['?', '\0']) => {
            Ok(Store::Sqlite(PathBuf::from(path)))
        }
        _ => Err("a store is a file of its own: write store = \"sqlite:control.db\""),
    }
}

pub(crate) fn engine(file: &FileEngine, no_providers: bool, check: &mut Check<'_>) -> Engine {
    let small = |written: Option<&Spanned<u32>>, range, name, check: &mut Check<'_>| {
        bounded(written, range, name, check).and_then(|number| u16::try_from(number).ok())
    };
    let threads = small(file.threads.as_ref(), 1..=256, "threads", check);
    let concurrent = small(file.concurrent.as_ref(), 1..=64, "concurrent", check).unwrap_or(Engine::default().concurrent);
    let enabled = file.enabled.as_ref().map_or(no_providers, |enabled| *enabled.get_ref());
    if let (false, true, Some(written)) = (enabled, no_providers, &file.enabled) {
        check.problem(written.span(), "nothing is left that could answer: write enabled = true, or add a [[provider]]");
    }
    let model = file.model.as_ref().map(|model| check.path(model.get_ref()));
    if let (Some(path), Some(written)) = (&model, &file.model)
        && !path.is_file()
    {
        check.problem(
            written.span(),
            format!("there is no model file {}: write the path of a GGUF file, or leave model out", path.display()),
        );
    }
    Engine { enabled, model, threads, concurrent }
}

fn address(written: Option<&Spanned<String>>, default: SocketAddr, name: &str, check: &mut Check<'_>) -> SocketAddr {
    let Some(written) = written else { return default };
    let parsed = written.get_ref().parse();
    let message = |_| format!("this is no address with a port: write {name} = \"{default}\" (an IP address; IPv6 in brackets)");
    check.take(written.span(), parsed.map_err(message)).unwrap_or(default)
}

/// The number, if it is written and within `range`.
pub(crate) fn bounded(
    written: Option<&Spanned<u32>>,
    range: std::ops::RangeInclusive<u32>,
    name: &str,
    check: &mut Check<'_>,
) -> Option<u32> {
    let written = written?;
    let number = *written.get_ref();
    let within = range.contains(&number).then_some(number);
    let message = || format!("{name} = {number} is out of range: write a number from {} to {}", range.start(), range.end());
    check.take(written.span(), within.ok_or_else(message))
}
