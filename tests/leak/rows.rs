//! The rows: every operation that is served, and what is asked of each provider in it.

use lethe_testkit::lethe::Lethe;

use crate::formats::{About, Format};

/// The rows of one target: what its model does, what is asked, whether as a stream, and what may come of it.
pub(crate) const TRANSLATED: &[(&str, &str, About, bool, &[u16])] = &[
    ("text", "text", About::Text, false, &[200]),
    ("stream", "text", About::Text, true, &[200]),
    // What a target cannot be told is refused by name.
    ("everything", "text", About::All, false, &[200, 400]),
    ("everything, stream", "text", About::All, true, &[200, 400]),
    ("call", "tool", About::Call, false, &[200]),
    ("call, stream", "tool", About::Call, true, &[200]),
    ("thoughts", "think", About::Text, false, &[200]),
    ("thoughts, stream", "think", About::Text, true, &[200]),
    ("split", "text-split", About::Text, true, &[200]),
    ("provider error", "error-400", About::Text, false, &[400]),
    ("provider error, stream", "error-400", About::Text, true, &[400]),
    ("provider failure", "error-500", About::Text, false, &[500, 502]),
    ("error in the middle", "text-midstream-error", About::Text, true, &[200]),
    ("cut", "text-cut", About::Text, false, &[502]),
    ("cut stream", "text-cut", About::Text, true, &[200, 502]),
];

/// One operation.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) format: Format,
    pub(crate) alias: bool,
}

/// What the document lists.
pub(crate) struct Operations {
    /// What takes a body.
    pub(crate) rows: Vec<Row>,
    /// What changes to WebSocket.
    pub(crate) sockets: Vec<Row>,
    /// Paths of what takes neither.
    pub(crate) plain: Vec<String>,
}

/// Every operation of the document; one without a row here fails.
pub(crate) fn operations(lethe: &Lethe) -> Operations {
    let document = lethe.stranger().get("/openapi.json").json();
    let mut all = Operations { rows: Vec::new(), sockets: Vec::new(), plain: Vec::new() };
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let of = operation["summary"].as_str().and_then(|summary| summary.strip_prefix("The same as "));
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            let row = |format| Row { id, path: path.clone(), format, alias: of.is_some() };
            if operation["responses"].get("101").is_some() {
                // Its messages are the bodies of the operation at the same path.
                all.sockets.extend(Format::of("post", of.unwrap_or(path)).map(row));
                continue;
            }
            match Format::of(method, of.unwrap_or(path)) {
                Some(format) => all.rows.push(row(format)),
                None => all.plain.push(path.clone()),
            }
        }
    }
    all
}
