//! Where requests to each kind of provider go, what their heads say, and what never comes into one.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use lethe_policy::{ApiRules, Dialect};
use lethe_providers::{Call, Credential, head};
use lethe_types::Api;

struct Case<'a> {
    dialect: Dialect,
    api: Api,
    base_path: &'a str,
    model: &'a str,
    stream: bool,
    batch: bool,
    path: Option<&'a str>,
    credential: Credential<'a>,
    host: &'a str,
    body: &'a [&'a [u8]],
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            dialect: Dialect::Openai,
            api: Api::Chat,
            base_path: "",
            model: "m",
            stream: false,
            batch: false,
            path: None,
            credential: Credential::Key(b"secret"),
            host: "example.com",
            body: &[b"{}"],
        }
    }
}

impl Case<'_> {
    fn head(&self) -> Option<String> {
        let rules = ApiRules { path: self.path.map(str::to_owned), ..ApiRules::plain(self.api) };
        let call = Call {
            dialect: self.dialect,
            api: self.api,
            rules: &rules,
            model: self.model,
            stream: self.stream,
            batch: self.batch,
            host: self.host,
            base_path: self.base_path,
            credential: self.credential,
            now: 1_440_938_160_000,
            beta: &["a-1", "b-2"],
            version: None,
            body: self.body,
        };
        head(&call, 0).map(|head| String::from_utf8(head.expose().to_vec()).unwrap())
    }

    fn target(&self) -> Option<String> {
        let head = self.head()?;
        let target = head.strip_prefix("POST ").and_then(|rest| rest.split_once(" HTTP/1.1\r\n")).unwrap().0;
        Some(target.to_owned())
    }
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

const VERTEX: &str = "/v1/projects/p/locations/l";

#[test]
fn each_dialect_has_its_places() {
    use Dialect::{Anthropic, AzureOpenai, Bedrock, Cohere, Gemini, Mistral, Ollama, Openai, Vertex};
    let cases = [
        (Openai, Api::Chat, "/v1", false, Some("/v1/chat/completions")),
        (Openai, Api::Responses, "/v1/", true, Some("/v1/responses")),
        (Openai, Api::Messages, "/v1", true, Some("/v1/messages")),
        (Openai, Api::Rerank, "/v1", false, Some("/v1/rerank")),
        (Openai, Api::GenerateContent, "/v1", false, None),
        (Anthropic, Api::Messages, "", false, Some("/v1/messages")),
        (Anthropic, Api::CountMessageTokens, "/v1", false, Some("/v1/messages/count_tokens")),
        (Anthropic, Api::Chat, "/v1", false, None),
        (Gemini, Api::GenerateContent, "", false, Some("/v1beta/models/a%2Fb%3A1:generateContent")),
        (Gemini, Api::GenerateContent, "/v1beta", true, Some("/v1beta/models/a%2Fb%3A1:streamGenerateContent?alt=sse")),
        (Gemini, Api::CountTokens, "/v1beta", false, Some("/v1beta/models/a%2Fb%3A1:countTokens")),
        (Gemini, Api::EmbedContent, "/v1beta", false, Some("/v1beta/models/a%2Fb%3A1:embedContent")),
        (AzureOpenai, Api::Chat, "/openai/v1", false, Some("/openai/v1/chat/completions")),
        (
            AzureOpenai,
            Api::Chat,
            "?api-version=2024-10-21",
            true,
            Some("/openai/deployments/a%2Fb%3A1/chat/completions?api-version=2024-10-21"),
        ),
        (
            AzureOpenai,
            Api::Embeddings,
            "/openai?api-version=1",
            false,
            Some("/openai/deployments/a%2Fb%3A1/embeddings?api-version=1"),
        ),
        (AzureOpenai, Api::Responses, "/openai?api-version=1", false, Some("/openai/responses?api-version=1")),
        (AzureOpenai, Api::Chat, "/openai", false, None),
        (Vertex, Api::GenerateContent, VERTEX, false, Some("/publishers/google/models/a%2Fb%3A1:generateContent")),
        (Vertex, Api::GenerateContent, VERTEX, true, Some("/publishers/google/models/a%2Fb%3A1:streamGenerateContent?alt=sse")),
        (Vertex, Api::Messages, VERTEX, false, Some("/publishers/anthropic/models/a%2Fb%3A1:rawPredict")),
        (Vertex, Api::Messages, VERTEX, true, Some("/publishers/anthropic/models/a%2Fb%3A1:streamRawPredict")),
        (Vertex, Api::CountMessageTokens, VERTEX, false, Some("/publishers/anthropic/models/count-tokens:rawPredict")),
        (Vertex, Api::Chat, VERTEX, false, Some("/endpoints/openapi/chat/completions")),
        (Vertex, Api::VertexEmbed, VERTEX, false, Some("/publishers/google/models/a%2Fb%3A1:predict")),
        (Bedrock, Api::Converse, "", false, Some("/model/a%2Fb%3A1/converse")),
        (Bedrock, Api::Converse, "", true, Some("/model/a%2Fb%3A1/converse-stream")),
        (Bedrock, Api::Chat, "", true, Some("/openai/v1/chat/completions")),
        (Mistral, Api::Chat, "", false, Some("/v1/chat/completions")),
        (Cohere, Api::CohereChat, "", true, Some("/v2/chat")),
        (Cohere, Api::CohereEmbed, "/v2", false, Some("/v2/embed")),
        (Cohere, Api::Rerank, "/v2", false, Some("/v2/rerank")),
        (Ollama, Api::OllamaChat, "/api", true, Some("/api/chat")),
        (Ollama, Api::OllamaEmbed, "", false, Some("/api/embed")),
    ];
    for (dialect, api, base_path, stream, expected) in cases {
        let target = Case { dialect, api, base_path, stream, model: "a/b:1", ..Case::default() }.target();
        let expected = expected.map(|path| if base_path == VERTEX { [VERTEX, path].concat() } else { path.to_owned() });
        assert_eq!(target, expected, "{dialect:?} {api:?} {base_path}");
    }
    let batch = Case { dialect: Gemini, api: Api::EmbedContent, batch: true, ..Case::default() };
    assert_eq!(batch.target().as_deref(), Some("/v1beta/models/m:batchEmbedContents"));
}

#[test]
fn a_rule_has_another_path() {
    let case = Case {
        path: Some("/deploy/{model}/chat?api-version=9"),
        base_path: "/x?a=1&region=eu&b",
        model: "é 1",
        ..Case::default()
    };
    assert_eq!(case.target().as_deref(), Some("/x/deploy/%C3%A9%201/chat?api-version=9&a=1&b"));
    let azure = Case { dialect: Dialect::AzureOpenai, path: Some("/y?api-version=9"), ..Case::default() };
    assert_eq!(azure.target().as_deref(), Some("/y?api-version=9"));
    assert_eq!(field(&azure.head().unwrap(), "api-key"), Some("secret"));
}

#[test]
fn each_dialect_shows_who_asks_in_its_own_way() {
    let key = |dialect, api, base_path, name| {
        let head = Case { dialect, api, base_path, ..Case::default() }.head().unwrap();
        assert_eq!(head.matches("secret").count(), 1);
        field(&head, name).map(str::to_owned)
    };
    assert_eq!(key(Dialect::Openai, Api::Chat, "/v1", "authorization").as_deref(), Some("Bearer secret"));
    assert_eq!(key(Dialect::Anthropic, Api::Messages, "/v1", "x-api-key").as_deref(), Some("secret"));
    assert_eq!(key(Dialect::Gemini, Api::GenerateContent, "", "x-goog-api-key").as_deref(), Some("secret"));
    assert_eq!(key(Dialect::AzureOpenai, Api::Chat, "/openai/v1", "api-key").as_deref(), Some("secret"));
    assert_eq!(key(Dialect::Vertex, Api::Messages, VERTEX, "authorization").as_deref(), Some("Bearer secret"));
    assert_eq!(key(Dialect::Bedrock, Api::Converse, "", "authorization").as_deref(), Some("Bearer secret"));
    assert_eq!(key(Dialect::Cohere, Api::CohereChat, "", "authorization").as_deref(), Some("Bearer secret"));
    let token = Case {
        dialect: Dialect::AzureOpenai,
        base_path: "/openai/v1",
        credential: Credential::Key(b"eyJh.eyJi.c-d_e"),
        ..Case::default()
    };
    assert_eq!(field(&token.head().unwrap(), "authorization"), Some("Bearer eyJh.eyJi.c-d_e"));
    let nobody = Case { credential: Credential::None, ..Case::default() }.head().unwrap();
    assert!(!nobody.contains("authorization"));
}

#[test]
fn anthropics_version_goes_with_its_format() {
    let head = |dialect, api, base_path| Case { dialect, api, base_path, ..Case::default() }.head().unwrap();
    let own = head(Dialect::Anthropic, Api::Messages, "");
    assert_eq!((field(&own, "anthropic-version"), field(&own, "anthropic-beta")), (Some("2023-06-01"), Some("a-1,b-2")));
    let vertex = head(Dialect::Vertex, Api::Messages, VERTEX);
    assert_eq!(
        (field(&vertex, "anthropic-version"), field(&vertex, "anthropic-beta")),
        (None, Some("a-1,b-2")),
        "it is in the body"
    );
    let other = head(Dialect::Openai, Api::Chat, "/v1");
    assert_eq!((field(&other, "anthropic-version"), field(&other, "anthropic-beta")), (None, None));
}

#[test]
fn streams_are_asked_for_in_their_framing() {
    let accept = |dialect, api, stream| {
        let head = Case { dialect, api, stream, ..Case::default() }.head().unwrap();
        field(&head, "accept").map(str::to_owned).unwrap()
    };
    assert_eq!(accept(Dialect::Openai, Api::Chat, true), "text/event-stream");
    assert_eq!(accept(Dialect::Openai, Api::Chat, false), "application/json");
    assert_eq!(accept(Dialect::Bedrock, Api::Converse, true), "application/vnd.amazon.eventstream");
    assert_eq!(accept(Dialect::Ollama, Api::OllamaChat, true), "application/x-ndjson");
}

#[test]
fn bedrocks_requests_are_signed() {
    let aws = |token| Credential::Aws { access_key_id: "AKIDEXAMPLE", secret_access_key: b"wJalrXUtnFEMI", session_token: token };
    let case = |body, token, host| Case {
        dialect: Dialect::Bedrock,
        api: Api::Converse,
        model: "anthropic.claude-v1:0",
        credential: aws(token),
        host,
        body,
        ..Case::default()
    };
    let host = "bedrock-runtime.eu-central-1.amazonaws.com";
    let head = case(&[b"{\"a\"", b":1}"], Some(&b"token"[..]), host).head().unwrap();
    assert_eq!(field(&head, "content-length"), Some("7"));
    assert_eq!(field(&head, "x-amz-date"), Some("20150830T123600Z"));
    assert_eq!(field(&head, "x-amz-security-token"), Some("token"));
    let hash = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
    assert_eq!(field(&head, "x-amz-content-sha256"), Some(hash));
    let authorization = field(&head, "authorization").unwrap();
    let (start, signature) = authorization.rsplit_once('=').unwrap();
    assert_eq!(
        start,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-central-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature"
    );
    // Made with botocore's own signer for the same request.
    assert_eq!(signature, "4be473cb50ae674c4ea608dde7c46ff22bb50ef45198c002f86bda2b578256be");
    assert!(!head.contains("wJalrXUtnFEMI"));
    let joined = case(&[b"{\"a\":1}"], Some(&b"token"[..]), host).head().unwrap();
    assert_eq!(joined, head, "however the body is cut");
    let other = case(&[b"{\"a\":2}"], Some(&b"token"[..]), host).head().unwrap();
    assert_ne!(field(&other, "authorization"), field(&head, "authorization"), "another body has another signature");
    assert_eq!(case(&[b"{}"], None, "example.com").head(), None, "nobody can tell the region");
    assert_eq!(Case { credential: aws(None), ..Case::default() }.head(), None, "keys that nobody else signs with");
}

#[test]
fn nothing_ends_a_line_early() {
    assert!(Case::default().head().is_some(), "control");
    assert_eq!(Case { credential: Credential::Key(b"a\r\nx: y"), ..Case::default() }.head(), None);
    assert_eq!(Case { base_path: "/v1 HTTP/1.1\r\nx: y", ..Case::default() }.head(), None);
    assert_eq!(Case { path: Some("/a b"), ..Case::default() }.head(), None);
    assert_eq!(Case { path: Some("no-slash"), ..Case::default() }.head(), None);
    let model = Case { dialect: Dialect::Bedrock, api: Api::Converse, model: "a\r\nb ?#%", ..Case::default() };
    assert_eq!(model.target().as_deref(), Some("/model/a%0D%0Ab%20%3F%23%25/converse"));
}
