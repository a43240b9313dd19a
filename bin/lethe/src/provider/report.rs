//! The steps of a test as people and programs read them. The credential is in none of them.

use std::time::Instant;

use lethe_control::explain::{self, Explained};
use lethe_policy::{Credential, Standing};
use lethe_types::Failure as Code;
use serde_json::{Value, json};

use super::Subject;

/// What stands in the credential's place.
const MASK: &str = "[credential]";

/// One step.
pub(crate) struct Step {
    name: &'static str,
    since: Instant,
    milliseconds: f64,
    /// Why it failed, if it did.
    failed: Option<String>,
    facts: Vec<(&'static str, String)>,
}

/// Everything that is to be shown.
pub(crate) struct Report {
    headline: String,
    subject: Value,
    credential: Option<Vec<u8>>,
    steps: Vec<Step>,
    verdict: Option<Result<(), Code>>,
}

impl Step {
    /// One fact, on a line.
    pub(crate) fn fact(&mut self, name: &'static str, value: &str) {
        self.facts.push((name, value.to_owned()));
    }

    /// Lines of text, as they came.
    pub(crate) fn text(&mut self, name: &'static str, text: &str) {
        self.facts.extend(text.lines().filter(|line| !line.is_empty()).map(|line| (name, line.to_owned())));
    }
}

fn secret(credential: &Credential) -> Option<Vec<u8>> {
    match credential {
        Credential::Awaited | Credential::None => None,
        Credential::Bearer(secret) | Credential::Key(secret) | Credential::Aws { secret_access_key: secret, .. } => {
            Some(secret.expose().to_vec())
        }
    }
}

impl Report {
    pub(crate) fn new(subject: &Subject<'_>, model: &str) -> Self {
        let provider = subject.provider;
        let url = &provider.base_url;
        let operation = subject.api.name();
        let headline = format!("provider {} at {}:{}, model {model} ({operation})", provider.id, url.host, url.port);
        Self {
            headline,
            subject: json!({
                "provider": provider.id, "host": url.host, "port": url.port, "model": model, "operation": operation,
                "stream": subject.stream,
            }),
            credential: secret(&subject.credential),
            steps: Vec::new(),
            verdict: None,
        }
    }

    /// From now on this is what is never shown.
    pub(crate) fn hide(&mut self, credential: &Credential) {
        self.credential = secret(credential);
    }

    /// The first step: whether anything but a test would be sent.
    pub(crate) fn terms(&mut self, standing: Standing) -> Standing {
        let mut step = self.begin("terms");
        step.fact("standing", standing.name());
        let (meaning, _) = explain::standing(standing);
        step.fact("meaning", meaning);
        if standing == Standing::Good {
            self.good(step);
        } else {
            self.end(step, Err("its routes answer 503 provider_terms"), Code::Terms);
        }
        standing
    }

    pub(crate) fn begin(&self, name: &'static str) -> Step {
        Step { name, since: Instant::now(), milliseconds: 0.0, failed: None, facts: Vec::new() }
    }

    pub(crate) fn good(&mut self, step: Step) {
        self.end(step, Ok(()), Code::Internal);
    }

    /// Ends a step; gives `code` back for the caller to return.
    pub(crate) fn end(&mut self, mut step: Step, outcome: Result<(), &str>, code: Code) -> Code {
        step.milliseconds = step.since.elapsed().as_secs_f64() * 1000.0;
        step.failed = outcome.err().map(|why| self.masked(why));
        for (_, value) in &mut step.facts {
            *value = masked(value, self.credential.as_deref());
        }
        self.steps.push(step);
        code
    }

    pub(crate) const fn conclude(&mut self, outcome: Result<(), Code>) {
        self.verdict = Some(outcome);
    }

    fn masked(&self, text: &str) -> String {
        masked(text, self.credential.as_deref())
    }

    fn explained(&self) -> Option<(Code, Explained)> {
        let code = self.verdict?.err()?;
        Some((code, explain::failure(code)))
    }

    pub(crate) fn json(&self) -> Value {
        let step = |step: &Step| {
            let facts: Vec<Value> = step.facts.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
            json!({ "step": step.name, "milliseconds": step.milliseconds, "good": step.failed.is_none(), "why": step.failed, "facts": facts })
        };
        let explained = self.explained();
        json!({
            "subject": self.subject, "steps": self.steps.iter().map(step).collect::<Vec<_>>(), "good": explained.is_none(),
            "failure": explained.map(|(code, _)| code.name()), "meaning": explained.map(|(_, (meaning, _))| meaning),
            "advice": explained.map(|(_, (_, advice))| advice),
        })
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.headline);
        for step in &self.steps {
            let outcome = step.failed.as_ref().map_or_else(|| "good".to_owned(), |why| format!("FAILED: {why}"));
            text += &format!("\n{:<8} {:>9.1} ms  {outcome}\n", step.name, step.milliseconds);
            for (name, value) in &step.facts {
                text += &format!("    {name}: {value}\n");
            }
        }
        text += &match self.explained() {
            None => "\nverdict: good\n".to_owned(),
            Some((code, (meaning, advice))) => {
                format!("\nverdict: {} ({meaning})\nwhat to do: {advice}\n", code.name())
            }
        };
        text
    }
}

/// Without the credential, and without what a terminal would obey.
fn masked(text: &str, credential: Option<&[u8]>) -> String {
    let credential = credential.and_then(|credential| std::str::from_utf8(credential).ok()).filter(|text| !text.is_empty());
    let text = credential.map_or_else(|| text.to_owned(), |credential| text.replace(credential, MASK));
    text.chars().map(|character| if character.is_control() && character != '\t' { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn neither_the_credential_nor_an_escape_is_shown() {
        let shown = masked("authorization: Bearer sk-1, \u{1b}[31mred\r\u{7}", Some(b"sk-1"));
        assert_eq!(shown, "authorization: Bearer [credential], \u{fffd}[31mred\u{fffd}\u{fffd}");
        assert_eq!(masked("plain", None), "plain");
        assert_eq!(masked("plain", Some(b"")), "plain");
    }
}
