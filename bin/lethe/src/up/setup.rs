//! The configuration as each part is given it.

use std::{
    num::NonZero,
    path::{Path, PathBuf},
};

use lethe_config::{ClientTls, Config, Metering, Scheme, Store};
use lethe_control::{
    NODE_NAME,
    start::{Address, ControlStart, DEFAULT_METADATA_DAYS, ModelSetup, OtlpSetup, ProviderSetup, RouteSetup},
};
use lethe_handover::{EngineBoot, GatewayBoot, GatewayLimits, Identity, NodeBoot, Role};
use lethe_policy::{
    ApiRules, Credential, Dialect, PromptCache, Provider, ProviderKind, Rules, Strategy, Timeouts, TokenServer, UpstreamTls,
};
use lethe_types::{Api, Capability};

use super::{listen::Addresses, state::State};
use crate::{control, failure::Failure};

/// Id of the embedded engine among the providers.
const ENGINE: &str = "embedded";
/// Requests that wait for the engine; beyond it 503.
const ENGINE_QUEUE: u16 = 32;
const NODE_CONNECTIONS: u32 = 256;
const MIB: u64 = 1024 * 1024;
/// Request and answer bodies in memory at once where nothing is known of the machine's memory, unless one request may be larger than
/// a part of it.
const CONTENT_BYTES: u64 = 512 * MIB;

/// The embedded engine as it is going to run.
pub(crate) struct Engine {
    /// The model file.
    pub(crate) path: PathBuf,
    /// The name that clients use.
    pub(crate) id: String,
    boot: EngineBoot,
}

impl Engine {
    /// The engine's boot message.
    pub(crate) fn boot(&self) -> EngineBoot {
        self.boot.clone()
    }
}

/// The engine's settings; `None` when it is off.
pub(crate) fn engine(config: &Config, model: Option<(PathBuf, String)>) -> Result<Option<Engine>, Failure> {
    let Some((path, id)) = model else { return Ok(None) };
    if config.models.iter().any(|model| model.id == id) {
        return Err(Failure::usage(format!(
            "the embedded engine's model is called \"{id}\", and so is a [[model]]: give that one another id"
        )));
    }
    if config.providers.iter().any(|provider| provider.id == ENGINE) {
        return Err(Failure::usage(format!("\"{ENGINE}\" is the embedded engine's own id: give that [[provider]] another")));
    }
    let boot = EngineBoot {
        model: id.clone(),
        threads: config.engine.threads.unwrap_or_else(processors),
        concurrent: config.engine.concurrent,
        queue: ENGINE_QUEUE,
    };
    Ok(Some(Engine { path, id, boot }))
}

/// The id of a model file of the operator's own: its name in lower case, without the ending.
pub(crate) fn model_id(path: &Path) -> Result<String, Failure> {
    let id = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_ascii_lowercase();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(Failure::usage(format!(
            "{}: clients name the model by this file's name, so it may have letters, digits, '-', '_' and '.' only",
            path.display()
        )));
    }
    Ok(id)
}

/// Control's boot message.
pub(crate) fn control(
    config: &Config,
    state: &State,
    engine: Option<&Engine>,
    addresses: &Addresses,
    user: Option<(u32, u32)>,
) -> Result<control::Boot, Failure> {
    let Store::Sqlite(store) = &config.control.store;
    if store.is_absolute() && user.is_some() {
        return Err(Failure::usage(
            "started as root, control sees its own folder inside the state folder only: write store = \"sqlite:control.db\", and choose the \
             state folder with --state",
        ));
    }
    // Control's own folder becomes its root folder: whoever owns the folders above need not let control's user through.
    let (root, folder) = if user.is_some() { (Some(state.control()), PathBuf::from("/")) } else { (None, state.control()) };
    let mut providers: Vec<ProviderSetup> = config.providers.iter().map(hosted).collect();
    let mut models: Vec<ModelSetup> = config.models.iter().map(|model| self::model(model, config, state)).collect();
    if let Some(engine) = engine {
        providers.push(embedded(addresses));
        models.push(ModelSetup {
            id: engine.id.clone(),
            capabilities: vec![Capability::Chat],
            strategy: Strategy::default(),
            routes: vec![RouteSetup {
                provider: ENGINE.to_owned(),
                model: engine.id.clone(),
                weight: 1,
                price: None,
                max_output_tokens: None,
            }],
            created: state.made(),
        });
    }
    let mut issue = vec![Role::Gateway];
    if engine.is_some() {
        issue.push(Role::Node);
    }
    let start = ControlStart {
        database: folder.join(store),
        state: folder,
        link: Address { host: addresses.link.ip().to_string(), port: addresses.link.port() },
        providers,
        models,
        otlp: config.control.otlp.as_ref().map(otlp),
        issue,
        first_key: true,
        operator_uid: Some(rustix::process::getuid().as_raw()),
        metadata_days: DEFAULT_METADATA_DAYS,
        build: lethe_supervisor::BUILD,
    };
    Ok(control::Boot { start, user, root })
}

fn otlp(otlp: &lethe_config::Otlp) -> OtlpSetup {
    let url = &otlp.url;
    let path = format!("{}/v1/metrics", url.path);
    OtlpSetup {
        server: TokenServer { tls: url.scheme == Scheme::Https, host: url.host.clone(), port: url.port, path },
        allow_private: otlp.allow_private_network,
        extra_roots: otlp.extra_roots.clone(),
        seconds: otlp.seconds,
        authorization: otlp.authorization.clone(),
    }
}

fn hosted(provider: &lethe_config::Provider) -> ProviderSetup {
    let url = &provider.base_url;
    let as_gateways_get_it = Provider {
        id: provider.id.clone(),
        kind: ProviderKind::Hosted,
        endpoint: 0,
        host: url.host.clone(),
        port: url.port,
        base_path: url.path.clone(),
        tls: match url.scheme {
            Scheme::Http => UpstreamTls::Plain,
            Scheme::Https => UpstreamTls::Public { extra_roots: provider.extra_roots.clone() },
        },
        credential: provider.credential.clone(),
        terms: provider.terms.as_ref().map(|terms| terms.terms.clone()),
        dialect: provider.dialect,
        rules: provider.rules.clone(),
        region: provider.region,
        max_concurrent: provider.max_concurrent,
        prompt_cache: provider.prompt_cache,
        timeouts: provider.timeouts,
    };
    let grant = provider.grant.clone();
    ProviderSetup { provider: as_gateways_get_it, dial: None, allow_private: provider.allow_private_network, grant }
}

/// The embedded engine is an ordinary node, known by its certificate; its name resolves nowhere.
fn embedded(addresses: &Addresses) -> ProviderSetup {
    // An own node gets what the client sends.
    let thoughts = ["reasoning", "reasoning_content", "reasoning_details"].map(str::to_owned).into();
    let provider = Provider {
        id: ENGINE.to_owned(),
        kind: ProviderKind::Node,
        endpoint: 0,
        host: NODE_NAME.to_owned(),
        port: addresses.node.port(),
        base_path: "/v1".to_owned(),
        tls: UpstreamTls::Link,
        credential: Credential::None,
        terms: None,
        dialect: Dialect::Openai,
        rules: Rules {
            apis: vec![ApiRules { stream_usage: true, thoughts, ..ApiRules::plain(Api::Chat) }],
            beta_values: Vec::new(),
        },
        region: None,
        max_concurrent: None,
        prompt_cache: PromptCache::Off,
        timeouts: Timeouts::default(),
    };
    let dial = Address { host: addresses.node.ip().to_string(), port: addresses.node.port() };
    ProviderSetup { provider, dial: Some(dial), allow_private: true, grant: None }
}

fn model(model: &lethe_config::Model, config: &Config, state: &State) -> ModelSetup {
    let route = |route: &lethe_config::Route| {
        let provider = config.providers.get(route.provider)?.id.clone();
        Some(RouteSetup {
            provider,
            model: route.model.clone(),
            weight: route.weight,
            price: route.price,
            max_output_tokens: route.max_output_tokens,
        })
    };
    ModelSetup {
        id: model.id.clone(),
        capabilities: model.capabilities.clone(),
        strategy: model.strategy,
        routes: model.routes.iter().filter_map(route).collect(),
        created: state.made(),
    }
}

/// The gateway's boot message.
pub(crate) fn gateway(config: &Config, identity: Identity) -> GatewayBoot {
    let gateway = &config.gateway;
    let client_tls = match &gateway.tls {
        ClientTls::Own { chain, key } => Some(lethe_handover::ClientTls { chain: chain.clone(), key: key.clone() }),
        ClientTls::None | ClientTls::TerminatedByProxy { .. } => None,
    };
    let body = u64::from(gateway.max_body_mib) * MIB;
    let limits = GatewayLimits {
        workers: gateway.workers.unwrap_or_else(processors),
        max_connections: gateway.max_connections,
        max_chat_bytes: body,
        max_embeddings_bytes: body,
        max_content_bytes: gateway.max_content_mib.map_or(CONTENT_BYTES.max(body * 4), |mib| u64::from(mib) * MIB),
        max_pending_records: gateway.max_pending_records,
        strict_metering: gateway.metering == Metering::Strict,
        max_stale_seconds: gateway.max_stale_seconds,
        drain_seconds: gateway.drain_seconds,
        head_seconds: gateway.head_seconds,
        body_idle_seconds: gateway.body_idle_seconds,
        keep_alive_seconds: gateway.keep_alive_seconds,
        min_bytes_per_second: gateway.min_bytes_per_second,
    };
    let trusted_peers = match &gateway.tls {
        ClientTls::TerminatedByProxy { trusted_peers } => trusted_peers.clone(),
        ClientTls::None | ClientTls::Own { .. } => Vec::new(),
    };
    GatewayBoot { client_tls, trusted_peers, identity, limits }
}

/// The node front's boot message.
pub(crate) const fn node(identity: Identity) -> NodeBoot {
    NodeBoot { identity, max_connections: NODE_CONNECTIONS }
}

fn processors() -> u16 {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    u16::try_from(processors).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::{ffi::OsString, fmt::Write, net::SocketAddr, path::Path};

    use lethe_handover::Role;
    use lethe_policy::{Credential, ProviderKind, UpstreamTls};

    use super::{Addresses, ENGINE, State, control, engine, model_id};

    fn addresses() -> Addresses {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Addresses { client: at(1), probes: at(2), link: at(3), console: at(4), node: at(5) }
    }

    #[test]
    fn the_sample_configuration_becomes_a_catalogue() {
        let environment = |_: &str| Some(OsString::from("sk-test"));
        let text = include_str!("../../../../docs/config/full.toml");
        let config = lethe_config::parse(text, Path::new("full.toml"), &environment).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path(), None).unwrap();
        let engine = engine(&config, Some(("model.gguf".into(), "tiny".into()))).unwrap();
        let boot = control(&config, &state, engine.as_ref(), &addresses(), None).unwrap();
        let start = boot.start;
        assert_eq!(start.database, state.control().join("control.db"));
        assert_eq!(start.issue, [Role::Gateway, Role::Node]);
        let providers: Vec<&str> = start.providers.iter().map(|setup| setup.provider.id.as_str()).collect();
        assert_eq!(providers, ["openai", "anthropic", "bedrock", "azure-openai", "vertex", "in-house", ENGINE]);
        let (openai, bedrock) = (&start.providers[0], &start.providers[2]);
        let (in_house, node) = (&start.providers[5], &start.providers[6]);
        assert!(matches!(&bedrock.provider.credential, Credential::Aws { .. }));
        assert!(matches!(&openai.provider.credential, Credential::Key(key) if key.expose() == b"sk-test"));
        assert!(!openai.allow_private && matches!(openai.provider.tls, UpstreamTls::Public { .. }));
        assert!(in_house.allow_private && in_house.provider.tls == UpstreamTls::Plain);
        assert_eq!((node.provider.kind, node.dial.as_ref().unwrap().port), (ProviderKind::Node, 5));
        let routes = |id: &str| start.models.iter().find(|model| model.id == id).map(|model| model.routes.len());
        assert_eq!((routes("gpt-5-mini"), routes("text-embedding-3-small"), routes("tiny")), (Some(1), Some(2), Some(1)));
        assert_eq!(routes("amazon.nova-pro-v1:0"), Some(1), "brought by its preset");
    }

    #[test]
    fn every_preset_at_once_can_be_handed_over() {
        let mut text = String::new();
        for (name, preset) in lethe_config::preset::PRESETS.iter() {
            let _ = writeln!(text, "[[provider]]\npreset = \"{name}\"\nallow_private_network = true");
            let url = preset.base_url.as_deref().unwrap_or_default();
            for (place, line) in [
                ("{location}", "location = \"global\""),
                ("{project}", "project = \"p\""),
                ("{region}", "region = \"eu-west-1\""),
            ] {
                if url.contains(place) {
                    let _ = writeln!(text, "{line}");
                }
            }
            if url.is_empty() {
                text.push_str("base_url = \"https://host.example.com\"\n");
            }
            if let Some(variable) = &preset.api_key_env {
                let _ = writeln!(text, "api_key = {{ env = \"{variable}\" }}");
            }
            if !preset.wildcard {
                let _ = writeln!(
                    text,
                    "[[model]]\nid = \"of-{name}\"\noperations = [\"chat\"]\nroutes = [{{ provider = \"{name}\" }}]"
                );
            }
        }
        let config = lethe_config::parse(&text, Path::new("all.toml"), &|_| Some(OsString::from("sk-test"))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path(), None).unwrap();
        let start = control(&config, &state, None, &addresses(), None).unwrap().start;
        assert!(start.providers.len() > 25 && start.models.len() > 150, "{} {}", start.providers.len(), start.models.len());
        let order = lethe_control::start::ToControl::Configure { providers: start.providers, models: start.models };
        assert!(order.encode().is_some(), "a reload of it would be refused");
    }

    #[test]
    fn as_root_control_sees_its_own_folder_only() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path(), None).unwrap();
        let boot = control(&lethe_config::Config::default(), &state, None, &addresses(), Some((1, 1))).unwrap();
        assert_eq!((boot.root.unwrap(), boot.start.database), (state.control(), "/control.db".into()));
        let mut config = lethe_config::Config::default();
        config.control.store = lethe_config::Store::Sqlite("/var/x.db".into());
        assert!(control(&config, &state, None, &addresses(), Some((1, 1))).is_err());
        assert!(control(&config, &state, None, &addresses(), None).is_ok());
    }

    #[test]
    fn models_are_called_by_their_files() {
        assert_eq!(model_id(Path::new("/m/Tiny-1B.Q4.gguf")).unwrap(), "tiny-1b.q4");
        assert!(model_id(Path::new("/m/my model.gguf")).is_err());
    }
}
