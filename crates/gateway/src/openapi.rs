//! `GET /openapi.json`: what this API is (OpenAPI 3.1), for tools that make clients of it.

use std::sync::LazyLock;

use lethe_content::ContentBuf;
use lethe_http1::{Response, ServerConn};
use lethe_tls::Socket;
use lethe_types::Api;
use lethe_wire::write::Writer;

use crate::answer::After;
use crate::served::{Leads, SERVED, Served};

/// Statuses of errors, and what they stand for.
const ERRORS: [(&str, &str); 8] = [
    ("400", "The request is wrong, or needs somebody to remember (`zero_retention_conflict`); the field is named"),
    ("401", "No API key, or one that is not in force"),
    ("404", "No such model"),
    ("413", "The body is too large"),
    ("429", "The provider limits the rate of requests"),
    ("500", "The gateway could not finish the request"),
    ("502", "The provider failed"),
    ("503", "Not served now: overloaded, without word from control, or the provider's terms do not stand"),
];

/// The same for every client, and nobody's content.
static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut out = ContentBuf::new();
    write(&mut Writer::new(&mut out));
    out.expose().to_vec()
});

/// Answers with the document, to whoever asks.
pub(crate) async fn answer(connection: &mut ServerConn<Socket>) -> After {
    let response = Response { status: 200, content_type: "application/json", ..Response::default() };
    match connection.respond(response, &DOCUMENT).await {
        Ok(()) => After::GoOn,
        Err(_) => After::Close,
    }
}

fn write(json: &mut Writer<'_>) {
    json.object(|json| {
        json.constant("openapi", "3.1.0");
        json.key("info").object(|json| {
            json.constant("title", "Lethe");
            json.key("description").plain(
                "One API for every model, which cannot remember what passes through it. Requests are as the reference of their own API says; \
                 what differs is that fields, tools and endpoints which need somebody to remember are refused by name.",
            );
            json.constant("version", env!("CARGO_PKG_VERSION"));
        });
        json.key("security").array(|json| {
            for scheme in ["bearer", "x_api_key", "x_goog_api_key"] {
                json.object(|json| json.key(scheme).array(|_| {}));
            }
        });
        json.key("paths").object(|json| {
            for path in paths() {
                json.key(path).object(|json| {
                    for served in SERVED.iter().filter(|served| served.path == path) {
                        operation(json, served);
                    }
                });
            }
        });
        json.key("components").object(components);
    });
}

fn paths() -> Vec<&'static str> {
    let mut paths: Vec<&str> = SERVED.iter().map(|served| served.path).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

fn operation(json: &mut Writer<'_>, served: &Served) {
    json.key(if served.method == "POST" { "post" } else { "get" }).object(|json| {
        json.constant("operationId", served.id);
        match served.alias_of {
            None => json.key("summary").plain(served.summary),
            Some(of) => json.key("summary").plain(&format!("The same as {of}")),
        }
        if served.path.contains("{model}") {
            json.key("parameters").array(|json| {
                json.object(|json| {
                    json.constant("name", "model");
                    json.constant("in", "path");
                    json.key("required").boolean(true);
                    json.key("schema").object(|json| json.constant("type", "string"));
                });
            });
        }
        if served.leads == Leads::OpenApi {
            json.key("security").array(|_| {});
        }
        if served.leads == Leads::WebSocket {
            json.key("externalDocs")
                .object(|json| json.constant("url", "https://developers.openai.com/api/docs/guides/websocket-mode"));
            json.key("responses").object(|json| {
                json.key("101")
                    .object(|json| json.key("description").plain("The connection speaks WebSocket (RFC 6455) from here on"));
                errors(json);
                json.key("426").object(|json| json.key("description").plain("Another version of WebSocket than 13"));
            });
            return;
        }
        let Leads::Exchange(api) = served.leads else {
            json.key("responses").object(|json| {
                success(json, &["application/json"]);
                errors(json);
            });
            return;
        };
        json.key("externalDocs").object(|json| json.constant("url", reference(api)));
        json.key("requestBody").object(|json| {
            json.key("required").boolean(true);
            json.key("content").object(|json| {
                json.key("application/json").object(|json| json.key("schema").object(|json| body(json, api)));
            });
        });
        json.key("responses").object(|json| {
            let both = matches!(api, Api::Chat | Api::Completions | Api::GenerateContent | Api::Messages | Api::Responses);
            success(json, if both { &["application/json", "text/event-stream"] } else { &["application/json"] });
            errors(json);
        });
    });
}

fn body(json: &mut Writer<'_>, api: Api) {
    json.constant("type", "object");
    json.key("required").array(|json| lethe_wire::inspect::required(api).for_each(|field| json.plain(field)));
    json.key("additionalProperties").boolean(true);
}

fn success(json: &mut Writer<'_>, types: &[&str]) {
    json.key("200").object(|json| {
        json.constant("description", "The answer, as the reference says");
        json.key("headers").object(|json| {
            for (name, what) in [
                ("lethe-provider", "Id of the provider that answered"),
                ("lethe-route", "Number of the route in usage records"),
                ("lethe-attempts", "How many times a provider was asked"),
                ("lethe-api", "Format in which the provider was asked"),
                ("lethe-left-out", "Wishes that change nothing of the answer and were not passed on"),
            ] {
                json.key(name).object(|json| {
                    json.key("description").plain(what);
                    json.key("schema").object(|json| json.constant("type", "string"));
                });
            }
        });
        json.key("content").object(|json| types.iter().for_each(|kind| json.key(kind).object(|_| {})));
    });
}

fn errors(json: &mut Writer<'_>) {
    for (status, what) in ERRORS {
        json.key(status).object(|json| json.key("description").plain(what));
    }
}

fn components(json: &mut Writer<'_>) {
    json.key("securitySchemes").object(|json| {
        json.key("bearer").object(|json| {
            json.constant("type", "http");
            json.constant("scheme", "bearer");
        });
        for (scheme, header) in [("x_api_key", "x-api-key"), ("x_goog_api_key", "x-goog-api-key")] {
            json.key(scheme).object(|json| {
                json.constant("type", "apiKey");
                json.constant("in", "header");
                json.constant("name", header);
            });
        }
    });
}

/// Where a format's own reference is.
const fn reference(api: Api) -> &'static str {
    match api {
        Api::Chat => "https://platform.openai.com/docs/api-reference/chat/create",
        Api::Completions => "https://platform.openai.com/docs/api-reference/completions/create",
        Api::CountMessageTokens => "https://docs.anthropic.com/en/api/messages-count-tokens",
        Api::CountTokens => "https://ai.google.dev/api/tokens",
        Api::EmbedContent => "https://ai.google.dev/api/embeddings",
        Api::Embeddings => "https://platform.openai.com/docs/api-reference/embeddings/create",
        Api::GenerateContent => "https://ai.google.dev/api/generate-content",
        Api::Messages => "https://docs.anthropic.com/en/api/messages",
        Api::Moderations => "https://platform.openai.com/docs/api-reference/moderations/create",
        Api::Rerank => "https://docs.cohere.com/reference/rerank",
        Api::Responses => "https://platform.openai.com/docs/api-reference/responses/create",
        Api::CohereChat | Api::CohereEmbed | Api::Converse | Api::OllamaChat | Api::OllamaEmbed | Api::VertexEmbed => "",
    }
}
