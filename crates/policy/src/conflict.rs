//! Fields and endpoints that need somebody to remember (DESIGN "Retention conflicts"), each with what to do instead.
//!
//! Facts about OpenAI's API: <https://developers.openai.com/api/docs/guides/your-data>.

use lethe_types::Api;

/// Why something is refused and what to do instead. All text is fixed at compile time: nothing of the request is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The field or endpoint, as documented by the API.
    pub field: &'static str,
    /// What would be kept, and what to do instead.
    pub instead: &'static str,
}

/// The conflict that a top-level field of a request in `api` makes by its presence with a value other than `null` or `false`.
/// `name` is the key after unescaping and case folding.
#[must_use]
pub fn field(api: Api, name: &str) -> Option<Conflict> {
    let fields = match api {
        Api::Responses => RESPONSES_FIELDS,
        Api::CountMessageTokens | Api::Messages => MESSAGES_FIELDS,
        Api::CountTokens | Api::EmbedContent | Api::GenerateContent => GEMINI_FIELDS,
        _ => FIELDS,
    };
    fields.iter().find(|conflict| conflict.field == name).copied()
}

const BACKGROUND: Conflict = Conflict {
    field: "background",
    instead: "background answers wait in a store; send the request without `background` and stream it",
};
const PROMPT_CACHE_KEY: Conflict =
    Conflict { field: "prompt_cache_key", instead: "it groups requests in a cache shared by an organisation; leave it out" };
const PROMPT_CACHE_RETENTION: Conflict =
    Conflict { field: "prompt_cache_retention", instead: "extended caches keep the prompt; leave it out" };
const STORE: Conflict = Conflict { field: "store", instead: "nothing is stored; send `\"store\": false` or leave it out" };

const FIELDS: &[Conflict] = &[
    BACKGROUND,
    Conflict { field: "conversation", instead: "conversations are stored; send the earlier messages in `messages`" },
    Conflict { field: "metadata", instead: "metadata is kept with a stored completion; keep it on your side" },
    Conflict { field: "previous_response_id", instead: "it points to a stored answer; send the earlier messages in `messages`" },
    PROMPT_CACHE_KEY,
    PROMPT_CACHE_RETENTION,
    STORE,
];

/// <https://platform.openai.com/docs/api-reference/responses/create>
const RESPONSES_FIELDS: &[Conflict] = &[
    BACKGROUND,
    Conflict { field: "conversation", instead: "conversations are stored; send the earlier items in `input`" },
    Conflict { field: "metadata", instead: "metadata is kept with a stored response; keep it on your side" },
    Conflict {
        field: "previous_response_id",
        instead: "it points to a stored answer; send the earlier items in `input`, and ask for `include: [\"reasoning.encrypted_content\"]` to send reasoning back",
    },
    Conflict {
        field: "prompt",
        instead: "prompt templates are stored by the provider; send the text itself in `input` or `instructions`",
    },
    PROMPT_CACHE_KEY,
    PROMPT_CACHE_RETENTION,
    STORE,
];

/// <https://platform.claude.com/docs/en/manage-claude/api-and-data-retention>
const MESSAGES_FIELDS: &[Conflict] = &[
    Conflict { field: "container", instead: "containers keep files; run tools on your side" },
    Conflict { field: "mcp_servers", instead: "servers behind the connector keep what they are sent; call them on your side" },
];

/// <https://ai.google.dev/gemini-api/docs/zdr>; names are without underscores, since both spellings are read.
const GEMINI_FIELDS: &[Conflict] =
    &[Conflict { field: "cachedcontent", instead: "cached contents are stored; send the content in `contents`" }, STORE];

/// The conflict that an endpoint makes. `path` is the request's path without its query.
///
/// ```
/// use lethe_policy::conflict;
/// assert_eq!(conflict::endpoint("GET", "/v1/files/file-1").map(|conflict| conflict.field), Some("/v1/files"));
/// assert_eq!(conflict::endpoint("POST", "/v1/chat/completions"), None);
/// ```
#[must_use]
pub fn endpoint(method: &str, path: &str) -> Option<Conflict> {
    if path.starts_with("/v1/chat/completions") && (method != "POST" || path.len() > "/v1/chat/completions".len()) {
        return Some(STORED_COMPLETIONS);
    }
    // Below it are stored responses, but for counting and compacting, which keep nothing and are not there either.
    let below = path.strip_prefix("/v1/responses").filter(|rest| !matches!(*rest, "/compact" | "/input_tokens"));
    if below.is_some_and(|rest| rest.starts_with('/') || rest.is_empty() && method != "POST") {
        return Some(STORED_RESPONSES);
    }
    ENDPOINTS
        .iter()
        .find(|conflict| path.strip_prefix(conflict.field).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        .copied()
}

const STORED_COMPLETIONS: Conflict = Conflict {
    field: "/v1/chat/completions",
    instead: "completions are not stored, so there is nothing to list, read, change or delete",
};

const STORED_RESPONSES: Conflict = Conflict {
    field: "/v1/responses",
    instead: "responses are not stored, so there is nothing to read, cancel or delete; send the items with each request",
};

const ENDPOINTS: &[Conflict] = &[
    Conflict { field: "/v1/assistants", instead: "assistants are stored; send instructions and messages with each request" },
    Conflict { field: "/v1/batches", instead: "batches wait in a store; send the requests to /v1/chat/completions one by one" },
    Conflict { field: "/v1/chatkit", instead: "threads are stored; send the messages with each request" },
    Conflict { field: "/v1/containers", instead: "containers keep files; run tools on your side" },
    Conflict { field: "/v1/conversations", instead: "conversations are stored; send the earlier messages with each request" },
    Conflict { field: "/v1/evals", instead: "evaluations store content; run them on your side" },
    Conflict { field: "/v1/files", instead: "files are stored; send the content inline in the message" },
    Conflict { field: "/v1/fine_tuning", instead: "fine-tuning stores and trains on content" },
    Conflict { field: "/v1/messages/batches", instead: "batches wait in a store; send the requests to /v1/messages one by one" },
    Conflict { field: "/v1/skills", instead: "skills are stored; send instructions with each request" },
    Conflict { field: "/v1/threads", instead: "threads are stored; send the messages with each request" },
    Conflict { field: "/v1/uploads", instead: "uploads are stored; send the content inline in the message" },
    Conflict { field: "/v1/vector_stores", instead: "vector stores keep content; search on your side and send what you found" },
    Conflict { field: "/v1/videos", instead: "video jobs are stored by the provider" },
    Conflict { field: "/v1beta/cachedContents", instead: "cached contents are stored; send the content in `contents`" },
    Conflict { field: "/v1beta/corpora", instead: "corpora are stored; search on your side and send what you found" },
    Conflict { field: "/v1beta/fileSearchStores", instead: "stores keep content; search on your side and send what you found" },
    Conflict { field: "/v1beta/files", instead: "files are stored; send the content inline as `inlineData`" },
    Conflict { field: "/v1beta/interactions", instead: "interactions are stored; send the contents with each request" },
    Conflict { field: "/v1beta/tunedModels", instead: "tuning stores and trains on content" },
];

#[cfg(test)]
mod tests {
    use lethe_types::Api;

    use super::{Conflict, ENDPOINTS, FIELDS, GEMINI_FIELDS, MESSAGES_FIELDS, RESPONSES_FIELDS, endpoint, field};

    #[test]
    fn tables_are_sorted_and_lower_case() {
        for table in [ENDPOINTS, FIELDS, GEMINI_FIELDS, MESSAGES_FIELDS, RESPONSES_FIELDS] {
            assert!(table.is_sorted_by_key(|conflict| conflict.field));
            let lower =
                |conflict: &Conflict| conflict.field.starts_with("/v1beta/") || conflict.field == conflict.field.to_lowercase();
            assert!(table.iter().all(lower));
        }
    }

    #[test]
    fn a_longer_name_is_another_endpoint() {
        assert!(endpoint("GET", "/v1/files").is_some());
        assert!(endpoint("GET", "/v1/filesystem").is_none());
        assert!(endpoint("GET", "/v1/chat/completions").is_some());
        assert!(endpoint("DELETE", "/v1/chat/completions/x").is_some());
        assert!(endpoint("POST", "/v1/responses").is_none() && endpoint("POST", "/v1/messages").is_none());
        assert!(endpoint("GET", "/v1/responses/resp_1").is_some() && endpoint("GET", "/v1/responses").is_some());
        assert!(field(Api::Chat, "store").is_some());
        assert!(field(Api::Chat, "temperature").is_none());
        assert!(field(Api::Messages, "metadata").is_none(), "its user_id is replaced");
    }
}
