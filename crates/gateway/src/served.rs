//! Every operation that is served: what `endpoint` finds, and what the OpenAPI document lists.

use lethe_types::Api;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// A body in this format goes to a provider or node.
    Exchange(Api),
    /// One model's entry, for clients that speak this format.
    Model(Api),
    /// The list of models, for clients that speak this format.
    Models(Api),
    /// This list as a document.
    OpenApi,
    /// Responses over WebSocket, for who asks for an upgrade.
    WebSocket,
}

/// One operation.
pub(crate) struct Served {
    pub(crate) method: &'static str,
    /// With `{model}` where a path names one.
    pub(crate) path: &'static str,
    /// `operationId`
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) leads: Leads,
    /// The same at another path: for SDKs that expect `/v1` in the base URL, or do not.
    pub(crate) alias_of: Option<&'static str>,
}

const fn post(path: &'static str, id: &'static str, summary: &'static str, api: Api) -> Served {
    Served { method: "POST", path, id, summary, leads: Leads::Exchange(api), alias_of: None }
}

const fn get(path: &'static str, id: &'static str, summary: &'static str, leads: Leads) -> Served {
    Served { method: "GET", path, id, summary, leads, alias_of: None }
}

const SAME: &str = "The same at another path";

const fn post_alias(path: &'static str, id: &'static str, of: &'static str, api: Api) -> Served {
    Served { alias_of: Some(of), ..post(path, id, SAME, api) }
}

const fn get_alias(path: &'static str, id: &'static str, of: &'static str, leads: Leads) -> Served {
    Served { alias_of: Some(of), ..get(path, id, SAME, leads) }
}

/// Every operation.
pub(crate) const SERVED: &[Served] = &[
    post("/v1/chat/completions", "createChatCompletion", "Go on with a conversation (OpenAI)", Api::Chat),
    post("/v1/responses", "createResponse", "Go on with a conversation (OpenAI responses; nothing is stored)", Api::Responses),
    get(
        "/v1/responses",
        "connectResponses",
        "Go on with conversations over WebSocket, one `response.create` after the other (OpenAI responses; nothing is stored)",
        Leads::WebSocket,
    ),
    post("/v1/messages", "createMessage", "Go on with a conversation (Anthropic)", Api::Messages),
    post(
        "/v1/messages/count_tokens",
        "countMessageTokens",
        "Count the tokens of a conversation (Anthropic)",
        Api::CountMessageTokens,
    ),
    post("/v1beta/models/{model}:generateContent", "generateContent", "Go on with a conversation (Gemini)", Api::GenerateContent),
    post(
        "/v1beta/models/{model}:streamGenerateContent",
        "streamGenerateContent",
        "Go on with a conversation, as a stream (Gemini): server-sent events with `alt=sse`, else a JSON array",
        Api::GenerateContent,
    ),
    post("/v1beta/models/{model}:countTokens", "countTokens", "Count the tokens of a conversation (Gemini)", Api::CountTokens),
    post("/v1beta/models/{model}:embedContent", "embedContent", "Turn a text into a vector (Gemini)", Api::EmbedContent),
    post(
        "/v1beta/models/{model}:batchEmbedContents",
        "batchEmbedContents",
        "Turn texts into vectors (Gemini)",
        Api::EmbedContent,
    ),
    post("/v1/embeddings", "createEmbedding", "Turn texts into vectors (OpenAI)", Api::Embeddings),
    post("/v1/completions", "createCompletion", "Go on with a text (OpenAI)", Api::Completions),
    post("/v1/moderations", "createModeration", "Judge whether text is harmful (OpenAI)", Api::Moderations),
    post("/v1/rerank", "rerank", "Order documents by how well they fit a question (Jina, Cohere)", Api::Rerank),
    get("/v1/models", "listModels", "List the models (OpenAI, Anthropic)", Leads::Models(Api::Chat)),
    get("/v1/models/{model}", "retrieveModel", "One model's entry (OpenAI, Anthropic)", Leads::Model(Api::Chat)),
    get("/v1beta/models", "listGeminiModels", "List the models (Gemini)", Leads::Models(Api::GenerateContent)),
    get("/v1beta/models/{model}", "getGeminiModel", "One model's entry (Gemini)", Leads::Model(Api::GenerateContent)),
    get("/openapi.json", "openapi", "This document", Leads::OpenApi),
    post_alias("/chat/completions", "createChatCompletionAtRoot", "/v1/chat/completions", Api::Chat),
    post_alias("/completions", "createCompletionAtRoot", "/v1/completions", Api::Completions),
    post_alias("/embeddings", "createEmbeddingAtRoot", "/v1/embeddings", Api::Embeddings),
    post_alias("/messages", "createMessageAtRoot", "/v1/messages", Api::Messages),
    post_alias("/messages/count_tokens", "countMessageTokensAtRoot", "/v1/messages/count_tokens", Api::CountMessageTokens),
    post_alias("/moderations", "createModerationAtRoot", "/v1/moderations", Api::Moderations),
    post_alias("/rerank", "rerankAtRoot", "/v1/rerank", Api::Rerank),
    post_alias("/v2/rerank", "rerankAtV2", "/v1/rerank", Api::Rerank),
    post_alias("/responses", "createResponseAtRoot", "/v1/responses", Api::Responses),
    get_alias("/responses", "connectResponsesAtRoot", "/v1/responses", Leads::WebSocket),
    get_alias("/models", "listModelsAtRoot", "/v1/models", Leads::Models(Api::Chat)),
    get_alias("/models/{model}", "retrieveModelAtRoot", "/v1/models/{model}", Leads::Model(Api::Chat)),
    post_alias(
        "/v1/models/{model}:generateContent",
        "generateContentAtV1",
        "/v1beta/models/{model}:generateContent",
        Api::GenerateContent,
    ),
    post_alias(
        "/v1/models/{model}:streamGenerateContent",
        "streamGenerateContentAtV1",
        "/v1beta/models/{model}:streamGenerateContent",
        Api::GenerateContent,
    ),
    post_alias("/v1/models/{model}:countTokens", "countTokensAtV1", "/v1beta/models/{model}:countTokens", Api::CountTokens),
    post_alias("/v1/models/{model}:embedContent", "embedContentAtV1", "/v1beta/models/{model}:embedContent", Api::EmbedContent),
    post_alias(
        "/v1/models/{model}:batchEmbedContents",
        "batchEmbedContentsAtV1",
        "/v1beta/models/{model}:batchEmbedContents",
        Api::EmbedContent,
    ),
];

/// Whether WebSocket is spoken at `path`.
pub(crate) fn speaks_websocket(path: &str) -> bool {
    SERVED.iter().any(|served| served.leads == Leads::WebSocket && served.path == path)
}

/// The operation at `path` without an upgrade, and the model's name as it stands in it. An operation behind a colon comes before a model that has one in its
/// name, if there is such an operation.
pub(crate) fn at(path: &str) -> Option<(&'static Served, Option<&str>)> {
    let mut found = None;
    for served in SERVED.iter().filter(|served| served.leads != Leads::WebSocket) {
        let Some((before, behind)) = served.path.split_once("{model}") else {
            if served.path == path {
                return Some((served, None));
            }
            continue;
        };
        let model = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
        if let Some(model) = model.filter(|model| !model.is_empty()) {
            if !behind.is_empty() {
                return Some((served, Some(model)));
            }
            found = Some((served, Some(model)));
        }
    }
    found
}
