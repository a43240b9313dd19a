//! What the provider is told to do.

use std::time::Duration;

/// What completions say, each in its place; empty where a completion has none. These are canaries: nothing prints them.
#[derive(Clone, Default)]
pub struct Script {
    /// The message's text, a transcription, a summary.
    pub text: String,
    /// `reasoning_content`, a thinking block, a reasoning item.
    pub reasoning: String,
    /// An argument of a tool call.
    pub arguments: String,
    /// `refusal`.
    pub refusal: String,
    /// An embedding.
    pub vector: Vec<f32>,
    /// A picture, as a file.
    pub image: Vec<u8>,
    /// A voice, as a file.
    pub audio: Vec<u8>,
    /// A provider's own words in an error.
    pub error: String,
    /// `error.param`.
    pub param: String,
    /// Deep within the error.
    pub nested: String,
}

/// How an answer is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// As a good provider does; as events if the request asks for them.
    #[default]
    Well,
    /// JSON in the provider's error form, which repeats the prompt.
    Error(u16),
    /// A page, as of a proxy before the provider, that repeats the prompt.
    HtmlError,
    /// A line of text that repeats the prompt.
    TextError,
    /// A stream whose middle is an error that repeats the prompt.
    ErrorEvent,
    /// 200, and JSON that goes wrong after the completion.
    MalformedJson,
    /// Events, of which one is broken and one is a page.
    MalformedEvents,
    /// A body shorter than announced; the connection ends.
    CutBody,
    /// A stream that ends after its first words, and so does the connection.
    CutStream,
    /// Nothing, until the peer closes.
    Hang,
    /// The first words of a stream, then nothing until the peer closes.
    HoldStream,
    /// The connection ends without an answer.
    Drop,
    /// Well, in pieces with this pause between.
    Slow(Duration),
}

/// How the next requests are answered.
#[derive(Clone, Default)]
pub struct Scene {
    pub way: Way,
    pub script: Script,
    /// What should arrive: the prompts' canaries, as they stand in the request.
    pub needles: Vec<String>,
    /// What should not: the key that the client shows to the target.
    pub secret: Option<String>,
}
