//! What a model answers, as a whole.

use super::request::Part;
use super::text::Str;

/// An answer.
pub struct Reply<'a> {
    /// The provider's id of the answer.
    pub id: Option<Str<'a>>,
    /// What is said: text, reasoning, refusals, calls.
    pub parts: Vec<Part<'a>>,
    /// Why it ends.
    pub finish: Finish<'a>,
    /// Tokens, where the provider reported them.
    pub usage: Option<Usage>,
}

/// Why an answer ends.
#[derive(Clone)]
pub enum Finish<'a> {
    /// A filter of the provider stopped it.
    ContentFilter,
    /// `max_tokens` or the model's own limit is reached.
    Length,
    /// The provider paused a long turn; sent back as it is, it goes on.
    Pause,
    /// The model refused.
    Refusal,
    /// It was done.
    Stop,
    /// One of the client's stop strings came (which one, where the provider says it).
    StopSequence(Option<Str<'a>>),
    /// It waits for results of calls.
    ToolCalls,
}

impl Finish<'_> {
    /// The same reason, owned.
    #[must_use]
    pub fn into_owned(self) -> Finish<'static> {
        match self {
            Self::ContentFilter => Finish::ContentFilter,
            Self::Length => Finish::Length,
            Self::Pause => Finish::Pause,
            Self::Refusal => Finish::Refusal,
            Self::Stop => Finish::Stop,
            Self::StopSequence(text) => Finish::StopSequence(text.map(Str::into_owned)),
            Self::ToolCalls => Finish::ToolCalls,
        }
    }
}

/// Tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All tokens of the prompt, those from and into a cache included.
    pub input: u32,
    /// Tokens of the prompt that came from a cache.
    pub cached: Option<u32>,
    /// Tokens of the prompt that went into a cache.
    pub cache_written: Option<u32>,
    /// All tokens of the answer, reasoning included.
    pub output: u32,
    /// Tokens of reasoning in the answer.
    pub reasoning: Option<u32>,
}

impl Usage {
    /// More tokens than any model takes: a provider that says so is not believed.
    const LIMIT: u64 = 1_000_000_000;

    /// A count as a provider reported it, if it can be believed.
    #[must_use]
    pub fn count(reported: u64) -> Option<u32> {
        u32::try_from(reported).ok().filter(|count| u64::from(*count) <= Self::LIMIT)
    }
}

/// What Lethe says of an answer that it has translated.
#[derive(Clone)]
pub struct Identity {
    /// An id without a prefix: letters and digits, random. Formats put their own prefix before it.
    pub id: String,
    /// Seconds since the epoch.
    pub created: u64,
    /// The model as the client named it.
    pub model: String,
}
