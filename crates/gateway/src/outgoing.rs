//! What one provider is sent: the client's body with what is forced in it, or the same request in another format.

use std::rc::Rc;

use lethe_content::ContentBuf;
use lethe_policy::PromptCache;
use lethe_providers::formats;
use lethe_types::{AccountPseudonym, Api, Capability, Clock, SystemClock};
use lethe_wire::client::Client;
use lethe_wire::conversation::{Identity, Sending, Wanted};
use lethe_wire::edit::Edits;
use lethe_wire::embeddings::EmbedWanted;
use lethe_wire::inspect::{Change, Inspected, inspect};
use lethe_wire::refusal::Refusal;
use lethe_wire::responses::Echo;

use crate::endpoint::Asked;
use crate::problem::Problem;
use crate::routing::Candidate;

/// A client's request, read and checked.
pub(crate) struct Received {
    pub(crate) asked: Asked,
    pub(crate) body: Rc<ContentBuf>,
    pub(crate) inspected: Inspected,
    /// A stream is wanted.
    pub(crate) stream: bool,
    /// Values of `anthropic-beta`.
    pub(crate) beta: Vec<String>,
    /// The version of Anthropic's API in which the client asks.
    pub(crate) version: Option<&'static str>,
    pub(crate) account: AccountPseudonym,
}

/// A request on its way: the format, the body with what is changed in it, and whether a stream is wanted.
pub(crate) struct Ask {
    pub(crate) api: Api,
    pub(crate) model: String,
    pub(crate) body: Rc<ContentBuf>,
    pub(crate) edits: Edits,
    pub(crate) stream: bool,
    pub(crate) beta: Vec<String>,
    /// The client's version of Anthropic's API, where its request passes as it is.
    pub(crate) version: Option<&'static str>,
    /// Several inputs at once, where the path says so.
    pub(crate) batch: bool,
    /// How the client is answered, where its request was translated.
    pub(crate) client: Option<Box<Client>>,
    /// Wishes that change nothing of the answer and were not passed on.
    pub(crate) left_out: Vec<&'static str>,
}

/// A request in another format than the client's.
struct Translated {
    body: ContentBuf,
    /// How the client is answered.
    client: Client,
    /// Each wish to cache is in it.
    keeps_caches: bool,
}

impl Received {
    /// What `candidate` is sent.
    pub(crate) fn outgoing(&self, candidate: &Candidate) -> Result<Ask, Problem> {
        let upstream = &candidate.upstream;
        let Some(rules) = candidate.rules(self.asked.api) else {
            return Err(Problem::model_operation(self.asked.api.capability().name()));
        };
        let cache = upstream.prompt_cache != PromptCache::Off;
        let pseudonym = self.account.to_string();
        let change = Change { model: &candidate.model, pseudonym: &pseudonym, cache };
        let mut ask = Ask {
            api: rules.api,
            model: candidate.model.clone(),
            body: Rc::clone(&self.body),
            edits: Edits::default(),
            stream: self.stream,
            beta: Vec::new(),
            version: None,
            batch: false,
            client: None,
            left_out: Vec::new(),
        };
        if self.inspected.wants_cache() && !cache {
            ask.left_out.push("cache_control");
        }
        let refused = |refusal: Refusal| Problem::refusal(&refusal);
        if rules.api == self.asked.api {
            self.inspected.check(upstream.kind, rules).map_err(refused)?;
            if let Some(unlisted) = self.beta.iter().find(|value| !upstream.rules.beta_values.contains(value)) {
                return Err(Problem::header_value("anthropic-beta", unlisted));
            }
            ask.beta.clone_from(&self.beta);
            ask.version = self.version;
            ask.edits = self.inspected.edits(&change, rules);
            if self.inspected.loses_thoughts(rules) {
                ask.left_out.push("reasoning");
            }
            ask.batch = self.asked.batch;
            if self.asked.array {
                // A provider is always asked for events.
                ask.client = Some(Box::new(self.client(Wanted::default())));
            }
            return Ok(ask);
        }
        if !self.beta.is_empty() {
            // What the features change in the body is read, or refused by name.
            ask.left_out.push("anthropic-beta");
        }
        let Translated { body, client, keeps_caches } = self.translate(rules.api, candidate, cache).map_err(refused)?;
        if formats::is_spoken_by_clients(rules.api) {
            let inspected = inspect(body.expose(), rules.api).map_err(refused)?;
            inspected.check(upstream.kind, rules).map_err(refused)?;
            ask.edits = inspected.edits(&change, rules);
            if inspected.loses_thoughts(rules) {
                ask.left_out.push("reasoning");
            }
        }
        if self.inspected.wants_cache() && cache && !keeps_caches {
            ask.left_out.push("cache_control");
        }
        ask.body = Rc::new(body);
        ask.batch = true;
        ask.client = Some(Box::new(client));
        Ok(ask)
    }

    /// The request in the format `target`, without its wishes to cache unless `cache` allows them.
    fn translate(&self, target: Api, candidate: &Candidate, cache: bool) -> Result<Translated, Refusal> {
        let (api, body) = (self.asked.api, self.body.expose());
        let to = Sending { model: &candidate.model, max_output_tokens: candidate.max_output_tokens };
        let mut out = ContentBuf::with_capacity(body.len() + 1024);
        let mut client = self.client(Wanted::default());
        if api.capability() == Capability::Embeddings {
            let request = lethe_wire::formats::read_embed_request(api, body)?;
            client.vectors = request.wanted();
            formats::write_embed_request(target, &request, &to, &mut out)?;
            return Ok(Translated { body: out, client, keeps_caches: false });
        }
        let mut request = lethe_wire::formats::read_request(api, body)?;
        request.wanted.stream = self.stream;
        client.wanted = request.wanted;
        client.one_call = request.parallel_tool_calls == Some(false);
        if api == Api::Responses {
            client.echo = Echo::of(body)?;
        }
        // Usage is always asked for, and shown to those who want it.
        request.wanted.usage = false;
        if !cache {
            request.forget_caches();
        }
        formats::write_request(target, &request, &to, &mut out)?;
        Ok(Translated { body: out, client, keeps_caches: formats::keeps_caches(target, &request, to.model) })
    }

    fn client(&self, wanted: Wanted) -> Client {
        let mut bytes = [0; 12];
        // An id without chance in it is an id all the same.
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        let identity = Identity {
            id: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            created: SystemClock.now() / 1000,
            model: self.asked.model.clone().unwrap_or_else(|| self.inspected.model.clone()),
        };
        Client {
            api: self.asked.api,
            array: self.asked.array,
            identity,
            wanted,
            echo: Echo::default(),
            vectors: EmbedWanted::default(),
            one_call: false,
        }
    }
}
