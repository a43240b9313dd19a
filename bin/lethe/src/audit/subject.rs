//! What is audited, from the command line.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;

use lethe_audit::drive::{Dialect, Key, Plan, Provider, Sink, Target};
use lethe_audit::run::{Audit, CRASH, Crash, Door, Spawned};
use rustls::ServerConfig;

use super::own::{self, Own};
use super::{Args, Dialect as Spoken, certificates, running, ways_out};
use crate::failure::Failure;
use crate::up::Ready;

/// Parts of Lethe that hold content, or may come near it, and may write no file.
const CONFINED: &[&str] = &["dialer", "engine", "gateway", "node"];

/// The main endpoint of Gemini's dialect, in a report.
const GEMINI: &str = "POST /v1beta/models/{model}:generateContent";

/// An audit that can begin.
pub(super) struct Subject {
    pub(super) audit: Audit,
    /// Goes on until the audit is over.
    pub(super) own: Option<Own>,
}

fn free() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub(super) fn of(args: &Args) -> Result<Subject, Failure> {
    let mut subject = match (&args.target, &args.state) {
        (Some(url), _) => other(args, url)?,
        (None, Some(state)) => {
            let ready = running::of(state)?;
            let model = args.model.clone().unwrap_or_else(|| "auto".to_owned());
            Subject { audit: lethe(&ready, state, &model, None, None)?, own: None }
        }
        (None, None) => {
            let certificates =
                certificates::make().ok_or_else(|| Failure::failed("certificates for the audit's own Lethe cannot be made"))?;
            let provider = provider(free(), Some(Arc::clone(&certificates.server)))?;
            let mut own = Own::start(provider.address(), &certificates)?;
            let authority = certificates.authority.as_bytes();
            let mut audit = lethe(&own.ready, &own.state(), own::MODEL, Some(provider), Some(authority))?;
            audit.name = "a lethe of its own".to_owned();
            audit.target.models = own::models();
            audit.watch.push(own.folder().to_owned());
            audit.spawned = own.take();
            // It is the audit's own, and comes back.
            audit.crash = Crash::Allowed;
            Subject { audit, own: Some(own) }
        }
    };
    let audit = &mut subject.audit;
    if args.crash {
        audit.crash = Crash::Allowed;
    }
    let dialect = audit.target.dialect();
    // A Lethe of the audit's own has a provider of each dialect.
    let (full, quick) = match &subject.own {
        Some(_) => (Plan::full_of_every_dialect(), Plan::quick_of_every_dialect()),
        None => (Plan::full(dialect), Plan::quick(dialect)),
    };
    (audit.plan, audit.plan_name) = if args.full { (full.clone(), "full") } else { (quick, "quick") };
    if !args.only.is_empty() {
        // What is asked for by name is played, quick or not.
        audit.plan.rows = full.rows;
        audit.plan.rows.retain(|row| args.only.iter().any(|start| row.begins(start)));
        let crash = match dialect {
            Dialect::Anthropic => ["POST /v1/messages", "/v1/messages", CRASH],
            Dialect::Gemini => [GEMINI, GEMINI.trim_start_matches("POST "), CRASH],
            Dialect::OpenAi => ["POST /v1/chat/completions", "/v1/chat/completions", CRASH],
        };
        if !args.only.iter().any(|start| crash.iter().any(|name| name.starts_with(start.as_str()))) {
            audit.crash = Crash::LeftOut;
        }
        if audit.plan.rows.is_empty() && audit.crash == Crash::LeftOut {
            return Err(Failure::usage("--only: no endpoint and no outcome begins so"));
        }
    }
    audit.watch.extend(args.watch.iter().cloned());
    audit.postgres.clone_from(&args.postgres);
    audit.redis.clone_from(&args.redis);
    audit.version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(subject)
}

fn provider(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Result<Provider, Failure> {
    Provider::start_with(address, tls).map_err(|error| Failure::usage(format!("--provider: {address} cannot be used: {error}")))
}

/// A Lethe on this machine.
fn lethe(
    ready: &Ready,
    state: &std::path::Path,
    model: &str,
    provider: Option<Provider>,
    authority: Option<&[u8]>,
) -> Result<Audit, Failure> {
    let url = ready.api.clone().unwrap_or_default();
    let key = Key::new(ready.api_key.as_deref().unwrap_or_default());
    let key = key.ok_or_else(|| Failure::no_verdict("the state folder holds no usable API key"))?;
    let target = Target::new(&url, key, model, Dialect::OpenAi, authority).map_err(|why| Failure::usage(why.to_string()))?;
    let mut audit = Audit::new("lethe", &url, target);
    audit.provider = provider;
    audit.pids = ready.pids.get("supervisor").copied().into_iter().collect();
    audit.confined = confined(ready);
    audit.handlers = ready.pids.get("gateway").copied().into_iter().collect();
    let again = state.to_owned();
    audit.again = Some(Box::new(move || {
        let ready = Ready::load(&again);
        (parts(&ready), confined(&ready))
    }));
    audit.parts = parts(ready);
    audit.doors = doors(ready);
    audit.watch.push(state.to_owned());
    let (of_records, of_metrics) = (state.to_owned(), state.to_owned());
    audit.says = vec![
        ("lethe records --json".to_owned(), Box::new(move || said(&["records", "--json"], &of_records))),
        ("lethe metrics".to_owned(), Box::new(move || said(&["metrics"], &of_metrics))),
    ];
    let state = state.to_owned();
    audit.attempts = Some(Box::new(move || ways_out::try_all(&state).map_err(Failure::text)));
    Ok(audit)
}

/// Its ports; any other is for its own parts.
fn doors(ready: &Ready) -> Vec<Door> {
    let known = [
        (
            &ready.api,
            "clients to the gateway",
            "tls = { cert = \"…\", key = \"…\" } in [gateway], before it listens beyond this machine",
        ),
        (&ready.console, "operators to control's console", "leave it on this machine"),
        (
            &ready.probes,
            "probes to the gateway, of health only",
            "no content passes there: leave it to this machine or a cluster's own network",
        ),
    ];
    let door = |(url, name, advice): (&Option<String>, &str, &str)| {
        let port = url.as_ref()?.rsplit_once(':')?.1.trim_end_matches('/').parse().ok()?;
        Some(Door { port, name: name.to_owned(), advice: advice.to_owned() })
    };
    known.into_iter().filter_map(door).collect()
}

fn parts(ready: &Ready) -> Vec<(String, u32)> {
    ready.pids.iter().map(|(name, pid)| (name.clone(), *pid)).collect()
}

/// The processes that may write no file.
fn confined(ready: &Ready) -> Vec<u32> {
    CONFINED.iter().filter_map(|part| ready.pids.get(*part).copied()).collect()
}

/// What a command of this executable prints about the Lethe on `state`.
fn said(command: &[&str], state: &std::path::Path) -> Result<Vec<u8>, String> {
    let executable = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(executable).args(command).arg("--state").arg(state).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{}: {}", command.join(" "), output.status)) }
}

/// Anything else.
fn other(args: &Args, url: &str) -> Result<Subject, Failure> {
    let model = args.model.as_deref().unwrap_or("audit");
    let dialect = match args.dialect {
        Spoken::Openai => Dialect::OpenAi,
        Spoken::Anthropic => Dialect::Anthropic,
        Spoken::Gemini => Dialect::Gemini,
    };
    let key = args.key.as_deref().map(secret).transpose()?.unwrap_or_else(|| "none".to_owned());
    let key = Key::new(&key).ok_or_else(|| Failure::usage("--key: it could not stand in a header"))?;
    let ca = args.ca.as_ref().map(|path| fs::read(path).map_err(|error| unreadable("--ca", path, &error))).transpose()?;
    let target =
        Target::new(url, key, model, dialect, ca.as_deref()).map_err(|why| Failure::usage(format!("--target: {why}")))?;
    let mut audit = Audit::new(url, url, target);
    audit.pids.clone_from(&args.pid);
    if args.provider.is_some() || args.spawn.is_some() {
        audit.provider = Some(provider(args.provider.unwrap_or_else(free), None)?);
    }
    for header in &args.header {
        let upstream = audit.provider.as_ref().map(|provider| format!("http://{}", provider.address())).unwrap_or_default();
        let printable = header.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let parts = header.split_once(':').filter(|(name, _)| printable && !name.is_empty() && !name.contains(' '));
        let (name, value) = parts.ok_or_else(|| Failure::usage("--header: it has to look like \"name: value\""))?;
        audit.target.headers.push((name.to_owned(), value.trim().replace("{provider}", &upstream)));
    }
    if let Some(command) = &args.spawn {
        let started = Sink::start(free());
        let sink = started.map_err(|error| Failure::failed(format!("the telemetry sink does not start: {error}")))?;
        let upstream = audit.provider.as_ref().map(|provider| format!("http://{}", provider.address())).unwrap_or_default();
        let environment = [
            ("LETHE_AUDIT_PROVIDER", upstream.clone()),
            ("OPENAI_BASE_URL", format!("{upstream}/v1")),
            ("ANTHROPIC_BASE_URL", upstream.clone()),
            ("GOOGLE_GEMINI_BASE_URL", upstream),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
        ];
        let spawned = Spawned::start(command, &environment).map_err(|error| Failure::usage(format!("--spawn: {error}")))?;
        audit.pids = vec![spawned.pid()];
        audit.spawned = Some(spawned);
        audit.telemetry = Some(sink);
    }
    Ok(Subject { audit, own: None })
}

fn unreadable(flag: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{flag}: {} cannot be read: {error}", path.display()))
}

/// `env:NAME`, `file:PATH`, or the thing itself.
fn secret(given: &str) -> Result<String, Failure> {
    if let Some(name) = given.strip_prefix("env:") {
        return std::env::var(name).map_err(|_| Failure::usage(format!("--key: the variable {name} is not set")));
    }
    if let Some(path) = given.strip_prefix("file:") {
        let path = std::path::Path::new(path);
        return fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| unreadable("--key", path, &error));
    }
    Ok(given.to_owned())
}
