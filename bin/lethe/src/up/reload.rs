//! `lethe reload`: the configuration file read again while everything runs.
//!
//! Control gets the new providers and models, numbers and signs them, and pushes them to the gateways; the client port's certificate goes to
//! the gateway. What was fixed when parts were started is refused by name. Whatever is refused, everything stays as it was.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use lethe_config::{ClientTls, Config, Gateway, Store};
use lethe_control::start::{ControlStart, ModelSetup, ProviderSetup, ToControl};
use lethe_handover::{Role, ToChild};
use lethe_supervisor::{Answer, Crewmates, Outcome};
use lethe_types::{Clock, SystemClock};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use tokio::time::timeout;

use super::{configuration, parts::Parts, setup};
use crate::config::Description;

/// For control to put a configuration in force.
const CONTROL: Duration = Duration::from_secs(20);

pub(crate) async fn reload(parts: &Arc<Parts>, mates: &Crewmates) -> Answer {
    let old = parts.config();
    let mut new = match configuration(&parts.args) {
        Ok(config) => config,
        Err(failure) => return Answer::refused(failure.text()),
    };
    let fixed = fixed(&parts.written, &old, &new);
    if !fixed.is_empty() {
        let names = fixed.join(", ");
        return Answer::refused(format!("{names} cannot change while Lethe runs: restart it, or put the old value back"));
    }
    // Everything but the certificate is as it was, bounds that were fitted to this machine too.
    new.gateway = Gateway { tls: new.gateway.tls, ..old.gateway.clone() };
    if let ClientTls::Own { chain, key } = &new.gateway.tls
        && let Err(why) = pair(chain, key.expose())
    {
        return Answer::refused(why);
    }
    let (mut said, endpoints) = match hand_over(parts, mates, &old, &new).await {
        Ok(handed) => handed,
        Err(answer) => return answer,
    };
    if let (ClientTls::Own { chain, key }, ClientTls::Own { chain: old_chain, key: old_key }) =
        (&new.gateway.tls, &old.gateway.tls)
        && (chain != old_chain || key.expose() != old_key.expose())
    {
        let tls = lethe_handover::ClientTls { chain: chain.clone(), key: key.clone() };
        // A gateway that is being started again gets it then.
        mates.send(Role::Gateway, ToChild::ClientTls(Box::new(tls)));
        said.push("gateway: new certificate and key on the client port".to_owned());
    }
    parts.configured(new, endpoints);
    if said.is_empty() {
        said.push("nothing has changed".to_owned());
    }
    Answer::done(said)
}

/// The secrets of the configuration in force, read again because their files were replaced. Whatever cannot be used, everything stays
/// as it was.
pub(crate) async fn refresh(parts: &Arc<Parts>, mates: &Crewmates) -> Answer {
    let old = parts.config();
    let replaced = old.replaced_secrets();
    let handed = match old.with_secrets_of_now() {
        Ok(new) => hand_over(parts, mates, &old, &new).await.map(|handed| (handed, new)),
        Err(error) => Err(Answer::refused(error.to_string())),
    };
    match handed {
        Ok(((said, endpoints), new)) => {
            parts.configured(new, endpoints);
            Answer::done(if said.is_empty() { vec!["nothing has changed".to_owned()] } else { said })
        }
        Err(answer) => {
            // One that was not carried out is tried again; one that was wrong, when the files are others.
            if answer.outcome == Outcome::Refused {
                *parts.unusable_secrets.lock().unwrap_or_else(PoisonError::into_inner) = replaced;
            }
            answer
        }
    }
}

/// Has control put `new` in force. What has changed, and the signed endpoint list; or why everything stays as it was.
async fn hand_over(parts: &Parts, mates: &Crewmates, old: &Config, new: &Config) -> Result<(Vec<String>, Vec<u8>), Answer> {
    let before = start(parts, old).map_err(Answer::refused)?;
    let after = start(parts, new).map_err(Answer::refused)?;
    let said = changes(&before, &after);
    let ControlStart { providers, models, .. } = after;
    let Some(order) = (ToControl::Configure { providers, models }).encode() else {
        return Err(Answer::refused("this is more configuration than can be handed over at once: restart"));
    };
    let word = parts.next_configured();
    if !mates.send(Role::Control, ToChild::ToControl(order)) {
        return Err(Answer::failed("control is being started again: try again in a moment"));
    }
    match timeout(CONTROL, word).await {
        Ok(Ok(Ok(endpoints))) => Ok((said, endpoints)),
        Ok(Ok(Err(why))) => Err(Answer::refused(why)),
        _ => Err(Answer::failed("control did not answer: try again in a moment")),
    }
}

/// What the configuration in force does, for `lethe config check`.
pub(crate) fn describe(parts: &Parts) -> Answer {
    let mut does = Description::of(&parts.config(), SystemClock.now());
    does.gateway.by_command_line = super::by_command_line(&parts.args);
    match serde_json::to_string(&does) {
        Ok(text) => Answer::done(vec![text]),
        Err(_) => Answer::failed("the configuration in force cannot be described"),
    }
}

fn start(parts: &Parts, config: &Config) -> Result<ControlStart, String> {
    let engine = parts.engine.as_ref().map(|engine| (engine.path.clone(), engine.id.clone()));
    setup::engine(config, engine).map_err(|failure| failure.text())?;
    let boot = setup::control(config, &parts.state, parts.engine.as_ref(), &parts.addresses, None);
    boot.map(|boot| boot.start).map_err(|failure| failure.text())
}

/// Settings that differ and are part of how the processes were started.
fn fixed(written: &Gateway, old: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (written, &new.gateway);
    let Store::Sqlite(store) = &old.control.store;
    let Store::Sqlite(new_store) = &new.control.store;
    let kind = |tls: &ClientTls| match tls {
        ClientTls::None => (0, Vec::new()),
        ClientTls::Own { .. } => (1, Vec::new()),
        ClientTls::TerminatedByProxy { trusted_peers } => (2, trusted_peers.clone()),
    };
    let engine = |config: &Config| {
        let engine = &config.engine;
        (engine.enabled, engine.model.clone(), engine.threads, engine.concurrent)
    };
    let otlp = |config: &Config| {
        let otlp = config.control.otlp.as_ref()?;
        Some((otlp.url.clone(), otlp.seconds, otlp.allow_private_network, otlp.extra_roots.clone()))
    };
    let all = [
        ("[gateway] listen", a.listen != b.listen),
        ("[gateway] probes", a.probes != b.probes),
        ("[gateway] tls (its kind) and trusted_peers", kind(&a.tls) != kind(&b.tls)),
        ("[gateway] workers", a.workers != b.workers),
        ("[gateway] max_body_mib", a.max_body_mib != b.max_body_mib),
        ("[gateway] max_connections", a.max_connections != b.max_connections),
        ("[gateway] max_content_mib", a.max_content_mib != b.max_content_mib),
        ("[gateway] head_seconds", a.head_seconds != b.head_seconds),
        ("[gateway] body_idle_seconds", a.body_idle_seconds != b.body_idle_seconds),
        ("[gateway] keep_alive_seconds", a.keep_alive_seconds != b.keep_alive_seconds),
        ("[gateway] min_bytes_per_second", a.min_bytes_per_second != b.min_bytes_per_second),
        ("[gateway] max_pending_records", a.max_pending_records != b.max_pending_records),
        ("[gateway] metering", a.metering != b.metering),
        ("[gateway] max_stale_seconds", a.max_stale_seconds != b.max_stale_seconds),
        ("[gateway] drain_seconds", a.drain_seconds != b.drain_seconds),
        ("[gateway] recycle_hours", a.recycle_hours != b.recycle_hours),
        ("[control] console", old.control.console != new.control.console),
        ("[control] store", store != new_store),
        ("[control.otlp]", otlp(old) != otlp(new)),
        ("[engine]", engine(old) != engine(new)),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// Whether certificate and key belong together, before anybody is given them.
fn pair(chain: &[Vec<u8>], key: &[u8]) -> Result<(), String> {
    let wrong = || "[gateway] tls: the key does not belong to the certificate".to_owned();
    let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::try_from(key).map_err(|_| wrong())?.clone_key();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map(drop).map_err(|_| wrong())
}

/// What differs, by the operator's own names.
fn changes(before: &ControlStart, after: &ControlStart) -> Vec<String> {
    let id = |setup: &ProviderSetup| setup.provider.id.clone();
    let mut said = differences("provider", &before.providers, &after.providers, id);
    said.extend(differences("model", &before.models, &after.models, |setup: &ModelSetup| setup.id.clone()));
    said
}

fn differences<T: Serialize>(kind: &str, before: &[T], after: &[T], id: impl Fn(&T) -> String) -> Vec<String> {
    let find = |list: &[T], wanted: &str| list.iter().position(|item| id(item) == wanted);
    let mut said = Vec::new();
    for item in before {
        if find(after, &id(item)).is_none() {
            said.push(format!("{kind} {}: removed", id(item)));
        }
    }
    for item in after {
        match find(before, &id(item)).and_then(|at| before.get(at)) {
            None => said.push(format!("{kind} {}: added", id(item))),
            Some(old) if !same(old, item) => said.push(format!("{kind} {}: changed", id(item))),
            Some(_) => {}
        }
    }
    said
}

/// Whether two are the same in everything, credentials too.
fn same<T: Serialize>(a: &T, b: &T) -> bool {
    let text = |item: &T| serde_json::to_vec(item).map(lethe_types::SecretBytes::new).ok();
    matches!((text(a), text(b)), (Some(a), Some(b)) if a.expose() == b.expose())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::path::Path;

    use lethe_config::Config;

    use super::{differences, fixed};

    fn parse(text: &str) -> Config {
        lethe_config::parse(text, Path::new("lethe.toml"), &|_| None).unwrap()
    }

    #[test]
    fn what_was_fixed_at_the_start_is_named() {
        let old = parse("[gateway]\nlisten = \"127.0.0.1:1\"\n");
        assert!(fixed(&old.gateway, &old, &old).is_empty());
        let new = parse("[gateway]\nlisten = \"127.0.0.1:2\"\nmax_connections = 5\n[engine]\nthreads = 3\n");
        assert_eq!(fixed(&old.gateway, &old, &new), ["[gateway] listen", "[gateway] max_connections", "[engine]"]);
        let proxy = parse("[gateway]\nlisten = \"127.0.0.1:1\"\ntls = \"terminated-by-proxy\"\ntrusted_peers = [\"10.0.0.1\"]\n");
        assert_eq!(fixed(&old.gateway, &old, &proxy), ["[gateway] tls (its kind) and trusted_peers"]);
    }

    #[test]
    fn what_changes_is_told_by_name_only() {
        let before = [("a", 1), ("b", 1), ("c", 1)];
        let after = [("a", 1), ("b", 2), ("d", 1)];
        let said = differences("provider", &before, &after, |(id, _)| (*id).to_owned());
        assert_eq!(said, ["provider c: removed", "provider b: changed", "provider d: added"]);
    }
}
