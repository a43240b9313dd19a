//! Whether there is anything to audit: the target is up, takes its key, and calls the scripted provider.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::client::{Broken, Client, Request};
use super::provider::{Provider, Scene, Script, Way};
use super::target::{Dialect, Target};

/// Why no verdict is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVerdict {
    /// No connection, or no answer on it.
    TargetDown(Broken),
    /// The target refuses the key: its status.
    WrongKey(u16),
    /// The target answers, but not as a model would: its status.
    NoAnswer(u16),
    /// The target answered without the scripted provider: its provider is another.
    OtherProvider,
    /// The scripted provider was called, and the target did not pass its answer on.
    AnswerLost(u16),
}

impl NoVerdict {
    /// Whether it may be otherwise in a moment, because the target is still starting.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::TargetDown(_) | Self::NoAnswer(_) | Self::OtherProvider)
    }
}

impl fmt::Display for NoVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TargetDown(broken) => write!(f, "the target is down: {broken}"),
            Self::WrongKey(status) => write!(f, "the target does not take this key (status {status})"),
            Self::NoAnswer(status) => write!(f, "the target does not answer with this model (status {status})"),
            Self::OtherProvider => f.write_str("the target does not call the scripted provider"),
            Self::AnswerLost(status) => write!(f, "the target does not pass on the provider's answer (status {status})"),
        }
    }
}

impl std::error::Error for NoVerdict {}

/// The target is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Up {
    /// The answer came from the scripted provider; false if there is none.
    pub through_provider: bool,
}

/// A question in the target's dialect, with so many tokens for the answer.
fn question(target: &Target, text: &str, tokens: u32, stream: bool) -> Request {
    let (path, mut body) = match (target.dialect, stream) {
        (Dialect::Gemini, stream) => (
            if stream { "/models/{model}:streamGenerateContent?alt=sse" } else { "/models/{model}:generateContent" },
            json!({"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": {"maxOutputTokens": tokens}}),
        ),
        (dialect, _) => {
            let path = if dialect == Dialect::Anthropic { "/messages" } else { "/chat/completions" };
            let asked = json!([{"role": "user", "content": text}]);
            (path, json!({"model": target.model_for(path), "max_tokens": tokens, "messages": asked}))
        }
    };
    if stream && target.dialect != Dialect::Gemini {
        body["stream"] = json!(true);
    }
    Request {
        method: "POST",
        path: target.path_of(target.dialect, path),
        content_type: "application/json".to_owned(),
        body: body.to_string().into_bytes(),
        ..Request::default()
    }
}

/// Asks this text and leaves the question open; false if the provider, which is told to be silent, does not get it.
///
/// # Errors
/// [`Broken`]: no connection.
pub fn hold(target: &Target, provider: &Provider, text: &str, limit: Duration) -> Result<(Client, bool), Broken> {
    provider.play(Scene { way: Way::Hang, needles: vec![text.to_owned()], ..Scene::default() });
    let mut client = Client::connect(target, limit)?;
    client.send(&question(target, text, 16, false), limit);
    let arrived = provider.wait(limit, |seen| seen.iter().any(|seen| seen.needles > 0));
    Ok((client, arrived))
}

/// What is in flight when a request is interrupted.
pub struct Interrupted<'a> {
    pub prompt: &'a str,
    pub header: &'a str,
    /// The completion's first words, where the scripted provider says them.
    pub completion: Option<&'a str>,
}

/// Asks for a stream that begins and does not end; false if it could not be seen to begin. Without a scripted provider it is as long as the target's own
/// lets it be.
///
/// # Errors
/// [`Broken`]: no connection.
pub fn interrupt(
    target: &Target,
    provider: Option<&Provider>,
    in_flight: &Interrupted<'_>,
    limit: Duration,
    patience: Duration,
) -> Result<(Client, bool), Broken> {
    let Interrupted { prompt, header, completion } = in_flight;
    let text = format!("{prompt} Count from one to ten thousand in words, and leave none out.");
    let mut request = question(target, &text, 2048, true);
    request.headers.push(("x-audit-note".to_owned(), (*header).to_owned()));
    if let Some(provider) = provider {
        let script = Script { text: completion.unwrap_or_default().to_owned(), ..Script::default() };
        provider.play(Scene { way: Way::HoldStream, script, needles: vec![(*prompt).to_owned()], ..Scene::default() });
    }
    let mut client = Client::connect(target, limit)?;
    client.send(&request, limit);
    let Some(provider) = provider else {
        let (_, begun) = client.read_until(b"data:", limit);
        return Ok((client, begun));
    };
    let arrived = provider.wait(limit, |seen| seen.iter().any(|seen| seen.needles > 0));
    // Some gather a stream before they pass any of it on: those words are in flight all the same.
    client.read_until(completion.unwrap_or("data:").as_bytes(), patience);
    Ok((client, arrived))
}

/// Asks once for a completion, with nothing in it that matters.
///
/// # Errors
/// [`NoVerdict`].
pub fn probe(target: &Target, provider: Option<&Provider>, limit: Duration) -> Result<Up, NoVerdict> {
    const WORD: &str = "audit-probe-answer";
    if let Some(provider) = provider {
        let script = Script { text: WORD.to_owned(), ..Script::default() };
        provider.play(Scene { way: Way::Well, script, ..Scene::default() });
    }
    let mut client = Client::connect(target, limit).map_err(NoVerdict::TargetDown)?;
    let answer = client.exchange(&question(target, "Say hello.", 16, false), limit).map_err(NoVerdict::TargetDown)?;
    let called = provider.map(|provider| provider.seen().iter().any(|seen| seen.method == "POST"));
    match (answer.status, called) {
        // A refusal after the provider was called is about the target's own key, not the client's.
        (status @ (401 | 403), None | Some(false)) => Err(NoVerdict::WrongKey(status)),
        (200, None) => Ok(Up { through_provider: false }),
        (200, Some(true)) if memchr::memmem::find(&answer.body, WORD.as_bytes()).is_some() => Ok(Up { through_provider: true }),
        (200, Some(false)) => Err(NoVerdict::OtherProvider),
        (status, Some(true)) => Err(NoVerdict::AnswerLost(status)),
        // What a gateway says when it cannot reach its provider.
        (500 | 502 | 503 | 504, Some(false)) => Err(NoVerdict::OtherProvider),
        (status, _) => Err(NoVerdict::NoAnswer(status)),
    }
}
