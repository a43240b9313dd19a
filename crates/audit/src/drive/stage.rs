//! Where a row is played: it makes canaries, sets the provider's scene, sends, and keeps what came back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::canary::{Canaries, Direction, Id, Label, Modality, NoRandomness};

use super::client::{Answer, Broken, Client, Request};
use super::http::End;
use super::matrix::{Answered, Limits, Observation, Observed, Row, RowResult, State, Why};
use super::media;
use super::provider::{Provider, Scene, Script, Seen, Way};
use super::target::{Dialect, Target};

/// Numbers of an embedding.
const DIMENSIONS: usize = 256;

/// A row that ends before its time.
pub(super) enum Stop {
    NoRandomness,
    NotExercised(Why),
}

impl From<NoRandomness> for Stop {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}

pub(super) type Step = Result<(), Stop>;

/// A request's content.
#[derive(Clone)]
pub(super) enum Ask {
    Json(Value),
    Form(String, Vec<u8>),
    Raw(Vec<u8>),
}

impl Ask {
    pub(super) fn into_parts(self) -> (String, Vec<u8>) {
        match self {
            Self::Json(value) => ("application/json".to_owned(), value.to_string().into_bytes()),
            Self::Form(content_type, bytes) => (content_type, bytes),
            Self::Raw(bytes) => ("application/json".to_owned(), bytes),
        }
    }

    /// Asks for events.
    pub(super) fn streamed(mut self) -> Self {
        if let Self::Json(value) = &mut self {
            value["stream"] = Value::Bool(true);
        }
        self
    }
}

/// An endpoint: what is sent to it and what a provider says there.
pub(super) struct Shape {
    pub(super) dialect: Dialect,
    pub(super) endpoint: &'static str,
    /// After the base of its dialect; `{model}` in it stands for the model.
    pub(super) path: &'static str,
    pub(super) streams: bool,
    /// Makes the prompt's canaries.
    pub(super) ask: fn(&mut Stage<'_>) -> Result<Ask, Stop>,
    /// Makes the completion's canaries.
    pub(super) script: fn(&mut Stage<'_>) -> Result<Script, Stop>,
}

/// What stays after a row.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) open: VecDeque<Client>,
    pub(super) answers: Vec<Answered>,
    pub(super) observed: Vec<Observed>,
}

pub(super) struct Stage<'a> {
    pub(super) target: &'a Target,
    pub(super) provider: Option<&'a Provider>,
    canaries: &'a mut Canaries,
    pub(super) limits: Limits,
    row: Row,
    kept: &'a mut Kept,
    until: Instant,
    first: usize,
    needles: Vec<String>,
    secret: Option<String>,
    status: Option<u16>,
    broken: Option<Broken>,
    /// The row is played once its bytes have gone, whatever the target does.
    sent_is_enough: bool,
    /// There is no such path, and that is the row's point.
    missing_is_refusal: bool,
    main_model: bool,
    /// Answers of this row, each with those of its canaries that do not belong there.
    answered: Vec<(Vec<u8>, Vec<Id>)>,
    /// Requests seen in scenes that this row has left behind.
    seen_before: Vec<Seen>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        row: &Row,
        target: &'a Target,
        provider: Option<&'a Provider>,
        canaries: &'a mut Canaries,
        limits: Limits,
        kept: &'a mut Kept,
    ) -> Self {
        // A row that never comes to its scene must not be credited with what the last one's was.
        if let Some(provider) = provider {
            provider.play(Scene::default());
        }
        Self {
            target,
            provider,
            first: canaries.len(),
            canaries,
            limits,
            row: *row,
            kept,
            until: Instant::now() + limits.row,
            needles: Vec::new(),
            secret: None,
            status: None,
            broken: None,
            sent_is_enough: false,
            missing_is_refusal: false,
            main_model: false,
            answered: Vec::new(),
            seen_before: Vec::new(),
        }
    }

    /// What is left of the row's time, at most `limit`.
    pub(super) fn left(&self, limit: Duration) -> Duration {
        self.until.saturating_duration_since(Instant::now()).min(limit)
    }

    pub(super) fn model(&self) -> String {
        if self.main_model { self.target.model.clone() } else { self.target.model_for(self.row.shape.path).to_owned() }
    }

    /// Asks for the target's main model, whose provider may speak another dialect than the row's.
    pub(super) fn ask_main_model(&mut self) {
        self.main_model = true;
    }

    fn label(&self, direction: Direction, modality: Modality) -> Label {
        Label { endpoint: self.row.endpoint.to_owned(), outcome: self.row.outcome.to_owned(), direction, modality }
    }

    /// A canary for the client's side, that should arrive at the provider as it is.
    pub(super) fn prompt(&mut self, modality: Modality) -> Result<String, Stop> {
        let canary = self.hidden(modality)?;
        self.needles.push(canary.clone());
        Ok(canary)
    }

    /// A canary for the client's side, that no provider need see as it is.
    pub(super) fn hidden(&mut self, modality: Modality) -> Result<String, Stop> {
        Ok(self.canaries.text(self.label(Direction::Prompt, modality))?)
    }

    /// A picture with a canary, and its base64, which should arrive.
    pub(super) fn picture(&mut self) -> Result<(Vec<u8>, String), Stop> {
        let canary = self.hidden(Modality::Image)?;
        Ok(self.file(media::png(&canary)))
    }

    /// A recording with a canary, and its base64, which should arrive.
    pub(super) fn recording(&mut self) -> Result<(Vec<u8>, String), Stop> {
        let canary = self.hidden(Modality::Audio)?;
        Ok(self.file(media::wav(&canary)))
    }

    pub(super) fn file(&mut self, file: Vec<u8>) -> (Vec<u8>, String) {
        let text = media::base64(&file);
        self.needles.push(text.clone());
        (file, text)
    }

    /// A canary for the provider's side; empty without a provider to say it.
    pub(super) fn completion(&mut self, modality: Modality) -> Result<String, Stop> {
        if self.provider.is_none() {
            return Ok(String::new());
        }
        Ok(self.canaries.text(self.label(Direction::Completion, modality))?)
    }

    /// An embedding for the provider's side; empty without a provider to say it.
    pub(super) fn vector(&mut self) -> Result<Vec<f32>, Stop> {
        if self.provider.is_none() {
            return Ok(Vec::new());
        }
        Ok(self.canaries.vector(self.label(Direction::Completion, Modality::Vector), DIMENSIONS)?)
    }

    /// A script of errors.
    pub(super) fn error_script(&mut self) -> Result<Script, Stop> {
        Ok(Script {
            error: self.completion(Modality::ErrorText)?,
            param: self.completion(Modality::ErrorText)?,
            nested: self.completion(Modality::ErrorText)?,
            ..Script::default()
        })
    }

    /// The canary that was made last.
    pub(super) fn last_id(&self) -> Id {
        Id(u32::try_from(self.canaries.len().saturating_sub(1)).unwrap_or(u32::MAX))
    }

    /// The canaries that were made for this row.
    pub(super) fn ids(&self) -> Vec<Id> {
        (self.first..self.canaries.len()).filter_map(|at| u32::try_from(at).ok()).map(Id).collect()
    }

    pub(super) fn needles(&self) -> &[String] {
        &self.needles
    }

    /// Ends a row that cannot be played with a provider that is not ours.
    pub(super) fn needs_provider(&self) -> Result<&'a Provider, Stop> {
        self.provider.ok_or(Stop::NotExercised(Why::NeedsProvider))
    }

    pub(super) fn sent_is_enough(&mut self) {
        self.sent_is_enough = true;
    }

    pub(super) fn missing_is_refusal(&mut self) {
        self.missing_is_refusal = true;
    }

    /// The key that the client will show, which no provider should see.
    pub(super) fn secret(&mut self, key: &str) {
        self.secret = Some(key.to_owned());
    }

    /// Sets the provider's scene, for every request from now on.
    pub(super) fn play(&mut self, way: Way, script: Script) {
        let Some(provider) = self.provider else { return };
        self.seen_before.append(&mut provider.seen());
        let secret = self.secret.clone().or_else(|| Some(self.target.key.reveal().to_owned()));
        // A short key would be found in anything.
        let secret = secret.filter(|key| key.len() >= 12);
        provider.play(Scene { way, script, needles: self.needles.clone(), secret });
    }

    pub(super) fn request(&self, path: &str, mut ask: Ask) -> Request {
        let dialect = self.row.shape.dialect;
        let mut path = self.target.path_of(dialect, &path.replace("{model}", &self.model()));
        // Gemini's clients ask for events by the path.
        if let (Dialect::Gemini, Ask::Json(Value::Object(members))) = (dialect, &mut ask)
            && members.get("stream") == Some(&Value::Bool(true))
        {
            members.remove("stream");
            path = path.replace(":generateContent", ":streamGenerateContent?alt=sse");
        }
        let (content_type, body) = ask.into_parts();
        Request { method: "POST", path, dialect: Some(dialect), content_type, body, ..Request::default() }
    }

    pub(super) fn connect(&mut self) -> Result<Client, Stop> {
        Client::connect(self.target, self.left(self.limits.answer)).map_err(|broken| Stop::NotExercised(Why::Unreachable(broken)))
    }

    /// Sends, reads the answer, and keeps both it and the connection.
    pub(super) fn post(&mut self, ask: Ask) -> Result<Option<Answer>, Stop> {
        let request = self.request(self.row.shape.path, ask);
        self.exchange(&request)
    }

    pub(super) fn exchange(&mut self, request: &Request) -> Result<Option<Answer>, Stop> {
        let mut client = self.connect()?;
        let answer = client.exchange(request, self.left(self.limits.answer));
        Ok(self.note(client, answer, &[]))
    }

    /// Keeps an answer and the connection that it came by. `strange` are canaries of this row that do not belong into it.
    pub(super) fn note(&mut self, client: Client, answer: Result<Answer, Broken>, strange: &[Id]) -> Option<Answer> {
        self.kept.open.push_back(client);
        if self.kept.open.len() > self.limits.open {
            self.kept.open.pop_front();
        }
        match answer {
            Ok(answer) => {
                self.status = Some(answer.status);
                self.keep(&answer, strange);
                Some(answer)
            }
            Err(broken) => {
                self.broken = Some(broken);
                None
            }
        }
    }

    pub(super) fn keep(&mut self, answer: &Answer, strange: &[Id]) {
        self.keep_bytes([answer.head.as_slice(), b"\n", &answer.body].concat(), strange);
    }

    pub(super) fn keep_bytes(&mut self, bytes: Vec<u8>, strange: &[Id]) {
        self.answered.push((bytes, strange.to_vec()));
    }

    /// Keeps what came of an answer that was not waited for to its end, if anything did.
    pub(super) fn note_begun(&mut self, bytes: &[u8]) {
        if let Some(status) = bytes.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
            self.status = std::str::from_utf8(status).ok().and_then(|text| text.parse().ok());
        }
        if !bytes.is_empty() {
            self.keep_bytes(bytes.to_vec(), &[]);
        }
    }

    pub(super) fn observe(&mut self, what: Observation) {
        let observed = Observed { endpoint: self.row.endpoint, outcome: self.row.outcome, what };
        if !self.kept.observed.contains(&observed) {
            self.kept.observed.push(observed);
        }
    }

    /// Whether an answer that the provider cut looks whole.
    pub(super) fn check_cut(&mut self, answer: Option<&Answer>) {
        if let Some(answer) = answer
            && answer.status == 200
            && answer.end == End::Complete
            && !speaks_of_error(&answer.body)
            && self.seen().iter().any(|seen| seen.method == "POST")
        {
            self.observe(Observation::CutLooksComplete);
        }
    }

    /// Whether a provider's words about the prompt went through.
    pub(super) fn check_echo(&mut self, answer: Option<&Answer>, script: &Script) {
        if let Some(answer) = answer
            && !script.error.is_empty()
            && memchr::memmem::find(&answer.body, script.error.as_bytes()).is_some()
        {
            self.observe(Observation::ProviderErrorReachedClient);
        }
    }

    /// Requests that the provider saw in this row.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let mut seen = self.seen_before.clone();
        seen.extend(self.provider.map(Provider::seen).unwrap_or_default());
        // The target asks for models or health on its own.
        seen.retain(|seen| seen.method != "GET" || self.row.endpoint.starts_with("GET"));
        seen
    }

    /// What came of it.
    pub(super) fn end(mut self, row: &Row, stopped: Option<Why>, began: Instant) -> RowResult {
        let seen = self.seen();
        if seen.iter().any(|seen| seen.secret) {
            self.observe(Observation::KeyReachedProvider);
        }
        let ids = self.ids();
        for (bytes, strange) in std::mem::take(&mut self.answered) {
            let own = ids.iter().copied().filter(|id| !strange.contains(id)).collect();
            self.kept.answers.push(Answered { from: format!("{} · {}", row.endpoint, row.outcome), own, bytes });
        }
        if self.broken == Some(Broken::Closed) && Client::connect(self.target, self.left(self.limits.answer)).is_err() {
            self.observe(Observation::TargetGone);
        }
        let state = match (stopped, self.status) {
            (Some(why), _) => State::NotExercised { why },
            (None, Some(404 | 405 | 501)) if seen.is_empty() && !self.missing_is_refusal => State::NotServed,
            (None, _) if !seen.is_empty() => State::Exercised,
            (None, Some(200..300)) => State::Exercised,
            (None, Some(_)) => State::Refused,
            (None, None) if self.sent_is_enough => State::Exercised,
            (None, None) => State::NotExercised { why: Why::NoAnswer(self.broken.unwrap_or(Broken::Closed)) },
        };
        RowResult {
            endpoint: row.endpoint,
            outcome: row.outcome,
            class: row.class,
            status: self.status,
            state,
            canaries: ids,
            provider_requests: seen.len(),
            prompt_arrived: seen.iter().any(|seen| seen.needles > 0),
            took: began.elapsed(),
        }
    }
}

/// Whether an answer says that something went wrong: `error` as an event or a member that is not null.
fn speaks_of_error(body: &[u8]) -> bool {
    memchr::memmem::find_iter(body, b"error").any(|at| {
        let behind: Vec<u8> = body[at + 5..].iter().copied().filter(|byte| *byte != b' ').take(6).collect();
        behind != b"\":null"
    })
}

#[cfg(test)]
mod tests {
    use super::speaks_of_error;

    #[test]
    fn an_error_that_is_null_is_none() {
        assert!(!speaks_of_error(br#"data: {"response":{"error":null,"x":{"error": null}}}"#));
        assert!(speaks_of_error(br#"data: {"error":null,"y":{"error":{"message":""}}}"#));
        assert!(speaks_of_error(b"event: error"));
    }
}
