//! Servers that speak OpenAI's dialect (<https://platform.openai.com/docs/api-reference>).

use lethe_content::ContentBuf;
use lethe_types::Api;

use crate::call::{Call, Credential};

pub(crate) fn head(call: &Call<'_>, room: usize) -> Option<ContentBuf> {
    let path = match (&call.rules.path, call.api) {
        (Some(path), _) => path.as_str(),
        (None, Api::Chat) => "/chat/completions",
        (None, Api::Completions) => "/completions",
        (None, Api::Embeddings) => "/embeddings",
        (None, Api::Moderations) => "/moderations",
        (None, Api::Responses) => "/responses",
        (None, Api::Rerank) => "/rerank",
        _ => return None,
    };
    let mut head = ContentBuf::with_capacity(512 + room);
    let accept = if call.stream { "text/event-stream" } else { "application/json" };
    for part in [
        "POST ",
        call.base_path,
        path,
        " HTTP/1.1\r\nhost: ",
        call.host,
        "\r\nuser-agent: lethe\r\naccept-encoding: identity\r\ncontent-type: application/json\r\naccept: ",
        accept,
        "\r\n",
    ] {
        head.extend(part.as_bytes());
    }
    match call.credential {
        Credential::Key(key) => {
            head.extend(b"authorization: Bearer ");
            head.extend(key);
            head.extend(b"\r\n");
        }
        Credential::None => {}
        Credential::Aws { .. } => return None,
    }
    head.extend(b"content-length: ");
    let length: usize = call.body.iter().map(|piece| piece.len()).sum();
    head.extend(length.to_string().as_bytes());
    head.extend(b"\r\n\r\n");
    Some(head)
}
