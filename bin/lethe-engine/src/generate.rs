//! From a request to an answer: render, encode, take the prompt in, then one token after the other.

use crate::gguf::{Gguf, ModelError};
use crate::model::Model;
use crate::refusal::{Field, Refusal};
use crate::request::ChatRequest;
use crate::response::{Finish, Usage};
use crate::sampler::Sampler;
use crate::stop::{StopFilter, Verdict};
use crate::template::Template;
use crate::tokenizer::{Decoder, Tokenizer};

/// Prompt tokens taken in one pass; between passes a cancelled request is noticed.
const CHUNK: usize = 32;

/// What happens during an answer, in this order.
pub enum Event {
    /// The prompt was accepted.
    Started,
    /// The answer goes on; never empty.
    Text(String),
    /// The answer is complete.
    Ended(Finish, Usage),
}

/// The client no longer wants the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

/// Takes the events of one answer.
pub trait Listener {
    /// Takes the next event; may wait for room.
    ///
    /// # Errors
    /// [`Cancelled`] when nobody listens any more.
    fn event(&mut self, event: Event) -> Result<(), Cancelled>;

    /// Whether anybody still listens; asked before each step.
    ///
    /// # Errors
    /// [`Cancelled`] when not.
    fn check(&self) -> Result<(), Cancelled>;
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens any more.
    Cancelled,
    /// The request cannot be answered.
    Refused(Refusal),
}

impl From<Cancelled> for Failure {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// A loaded model with all that belongs to it. Nothing in here changes while requests are answered.
pub struct Engine {
    name: String,
    model: Model,
    tokenizer: Tokenizer,
    template: Template,
}

impl Engine {
    /// Loads a GGUF file; the engine answers to `name`. One thread computes until [`Self::with_threads`].
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn load(file: &[u8], name: String) -> Result<Self, ModelError> {
        let gguf = Gguf::parse(file)?;
        Ok(Self {
            name,
            model: Model::from_gguf(&gguf)?,
            tokenizer: Tokenizer::from_gguf(&gguf)?,
            template: Template::new(gguf.text("tokenizer.chat_template")?)?,
        })
    }

    /// Has `threads` compute one step together, for all requests. They start here.
    ///
    /// # Errors
    /// [`ModelError::Threads`].
    pub fn with_threads(self, threads: usize) -> Result<Self, ModelError> {
        Ok(Self { model: self.model.with_threads(threads)?, ..self })
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Answers a request, telling `listener` as it goes. The request is gone before the first token is made.
    ///
    /// # Errors
    /// [`Failure`]; after [`Event::Started`] it can only be [`Failure::Cancelled`].
    pub fn answer(&self, request: ChatRequest, listener: &mut impl Listener) -> Result<(), Failure> {
        let prompt = self.encode(&request)?;
        let context = self.model.context();
        if prompt.len() >= context {
            return Err(Failure::Refused(Refusal::ContextExceeded { limit: context, prompt: prompt.len() }));
        }
        let room = context - prompt.len();
        let limit = request.max_tokens.map_or(room, |limit| limit.min(room));
        let ChatRequest { sampling, stop, messages, .. } = request;
        drop(messages);
        listener.event(Event::Started)?;

        let mut cache = self.model.cache();
        let mut state = Vec::new();
        for chunk in prompt.chunks(CHUNK) {
            listener.check()?;
            state = self.model.extend(&mut cache, chunk);
        }
        let mut usage = Usage { prompt: prompt.len(), completion: 0 };
        drop(prompt);

        let mut sampler = Sampler::new(sampling);
        let mut decoder = Decoder::default();
        let mut filter = StopFilter::new(stop);
        loop {
            listener.check()?;
            let token = sampler.choose(self.model.logits(&state));
            usage.completion += 1;
            let has_ended = self.tokenizer.ends(token);
            let is_last = has_ended || usage.completion == limit;
            let (mut text, mut shown) = (String::new(), String::new());
            decoder.push(self.tokenizer.bytes(token), &mut text);
            if is_last {
                decoder.finish(&mut text);
            }
            let verdict = filter.push(&text, &mut shown);
            if is_last {
                filter.finish(&mut shown);
            }
            if !shown.is_empty() {
                listener.event(Event::Text(shown))?;
            }
            if is_last || verdict == Verdict::Stop {
                let finish = if has_ended || verdict == Verdict::Stop { Finish::Stop } else { Finish::Length };
                listener.event(Event::Ended(finish, usage))?;
                return Ok(());
            }
            state = self.model.extend(&mut cache, &[token]);
        }
    }

    fn encode(&self, request: &ChatRequest) -> Result<Vec<u32>, Failure> {
        let messages: Vec<_> = request.messages.iter().map(|message| (message.role, message.content.as_str())).collect();
        self.template
            .render(&messages, |pieces| self.tokenizer.encode(pieces))
            .map_err(|_| Failure::Refused(Refusal::Unsupported(Field::top("messages"))))
    }
}
