//! The files.

use std::path::PathBuf;

use lethe_types::Api;
use serde_json::Value;

use crate::{CLIENTS, PROVIDERS};

/// What is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Answer,
    Stream,
    Error,
    EmbedRequest,
    Vectors,
    CountRequest,
    Count,
}

/// One input.
pub(crate) struct Case {
    pub(crate) kind: Kind,
    /// The format of the input.
    pub(crate) api: Api,
    pub(crate) case: String,
    pub(crate) input: Value,
}

const EMBEDDING_CLIENTS: [Api; 2] = [Api::Embeddings, Api::EmbedContent];
const EMBEDDING_PROVIDERS: [Api; 5] = [Api::Embeddings, Api::EmbedContent, Api::CohereEmbed, Api::OllamaEmbed, Api::VertexEmbed];
const COUNTING: [Api; 2] = [Api::CountMessageTokens, Api::CountTokens];

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Request,
        Self::Answer,
        Self::Stream,
        Self::Error,
        Self::EmbedRequest,
        Self::Vectors,
        Self::CountRequest,
        Self::Count,
    ];

    const fn folder(self) -> &'static str {
        match self {
            Self::Request => "requests",
            Self::Answer => "answers",
            Self::Stream => "streams",
            Self::Error => "errors",
            Self::EmbedRequest => "embed_requests",
            Self::Vectors => "vectors",
            Self::CountRequest => "count_requests",
            Self::Count => "counts",
        }
    }

    /// Formats that inputs are in.
    pub(crate) const fn formats(self) -> &'static [Api] {
        match self {
            Self::Request => &CLIENTS,
            Self::Answer | Self::Error | Self::Stream => &PROVIDERS,
            Self::EmbedRequest => &EMBEDDING_CLIENTS,
            Self::Vectors => &EMBEDDING_PROVIDERS,
            Self::CountRequest | Self::Count => &COUNTING,
        }
    }

    /// Formats that they are translated to.
    pub(crate) const fn others(self) -> &'static [Api] {
        match self {
            Self::Request => &PROVIDERS,
            Self::Answer | Self::Error | Self::Stream => &CLIENTS,
            Self::EmbedRequest => &EMBEDDING_PROVIDERS,
            Self::Vectors => &EMBEDDING_CLIENTS,
            Self::CountRequest | Self::Count => &COUNTING,
        }
    }
}

impl Case {
    pub(crate) fn name(&self) -> String {
        format!("{}/{}/{}", self.kind.folder(), self.api.name(), self.case)
    }

    fn path(&self, side: &str) -> PathBuf {
        root().join(self.kind.folder()).join(self.api.name()).join(format!("{}.{side}.json", self.case))
    }

    /// What was approved.
    fn approved(&self) -> Value {
        let path = self.path("out");
        serde_json::from_slice(&std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display())).unwrap()).unwrap()
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/translation/golden")
}

/// Whether what comes out is written instead of compared.
pub(crate) fn blesses() -> bool {
    std::env::var_os("LETHE_BLESS").is_some()
}

/// Every input of `kind`, in the order of formats and names. A folder that is no format is a mistake.
pub(crate) fn cases(kind: Kind) -> Vec<Case> {
    let mut cases = Vec::new();
    for folder in std::fs::read_dir(root().join(kind.folder())).unwrap() {
        let folder = folder.unwrap();
        let api = Api::named(folder.file_name().to_str().unwrap()).filter(|api| kind.formats().contains(api)).unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            let Some(case) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".in.json") else { continue };
            let input =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).map_err(|error| format!("{case}: {error}")).unwrap();
            cases.push(Case { kind, api, case: case.to_owned(), input });
        }
    }
    let rank = |case: &Case| kind.formats().iter().position(|api| *api == case.api);
    cases.sort_by(|one, other| (rank(one), &one.case).cmp(&(rank(other), &other.case)));
    cases
}

/// Compares what came out with what was approved, or writes it.
pub(crate) fn compare(case: &Case, outcome: &Value) {
    if blesses() {
        std::fs::write(case.path("out"), laid_out(outcome)).unwrap();
    }
    assert_eq!(outcome, &case.approved(), "{}", case.name());
}

/// JSON as it is read best: what fits on one line stands on one.
fn laid_out(value: &Value) -> String {
    let mut out = String::new();
    lay_out(value, 0, 0, &mut out);
    out.push('\n');
    out
}

fn lay_out(value: &Value, indent: usize, taken: usize, out: &mut String) {
    const WIDTH: usize = 140;
    let plain = value.to_string();
    let items: Vec<(String, &Value)> = match value {
        // One format, one event a line at least.
        Value::Object(members) if indent == 0 || indent + taken + plain.len() > WIDTH => {
            members.iter().map(|(key, value)| (format!("{}: ", Value::from(key.as_str())), value)).collect()
        }
        Value::Array(items) if indent + taken + plain.len() > WIDTH => items.iter().map(|item| (String::new(), item)).collect(),
        _ => {
            out.push_str(&plain);
            return;
        }
    };
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    out.push(open);
    for (at, (key, item)) in items.iter().enumerate() {
        out.push_str(if at == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(indent + 2));
        out.push_str(key);
        lay_out(item, indent + 2, key.len(), out);
    }
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    out.push(close);
}
