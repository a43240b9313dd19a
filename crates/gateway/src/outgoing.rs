//! What one provider is sent: the client's body with what is forced in it, or the same request in another format.

use std::rc::Rc;

use lethe_content::ContentBuf;
use lethe_policy::PromptCache;
use lethe_providers::formats;
use lethe_types::{AccountPseudonym, Api};
use lethe_wire::conversation::{Sending, Wanted};
use lethe_wire::edit::Edits;
use lethe_wire::inspect::{Change, Inspected, inspect};
use lethe_wire::refusal::Refusal;

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
    /// What the client wants to be sent, where its request was translated.
    pub(crate) translated: Option<Wanted>,
    /// Wishes that change nothing of the answer and were not passed on.
    pub(crate) left_out: Vec<&'static str>,
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
            translated: None,
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
            ask.edits = self.inspected.edits(&change, rules);
            return Ok(ask);
        }
        if !self.beta.is_empty() {
            // What the features change in the body is read, or refused by name.
            ask.left_out.push("anthropic-beta");
        }
        let (body, wanted) = self.translate(rules.api, candidate).map_err(refused)?;
        if formats::is_spoken_by_clients(rules.api) {
            let inspected = inspect(body.expose(), rules.api).map_err(refused)?;
            inspected.check(upstream.kind, rules).map_err(refused)?;
            ask.edits = inspected.edits(&change, rules);
        }
        if self.inspected.wants_cache() && ask.left_out.is_empty() && rules.api != Api::Converse {
            ask.left_out.push("cache_control");
        }
        ask.body = Rc::new(body);
        ask.translated = Some(wanted);
        Ok(ask)
    }

    fn translate(&self, target: Api, candidate: &Candidate) -> Result<(ContentBuf, Wanted), Refusal> {
        let mut request = lethe_wire::formats::read_request(self.asked.api, self.body.expose())?;
        request.wanted.stream = self.stream;
        let wanted = request.wanted;
        // Usage is always asked for, and shown to those who want it.
        request.wanted.usage = false;
        let mut out = ContentBuf::with_capacity(self.body.len() + 1024);
        let to = Sending { model: &candidate.model, max_output_tokens: candidate.max_output_tokens };
        formats::write_request(target, &request, &to, &mut out)?;
        Ok((out, wanted))
    }
}
