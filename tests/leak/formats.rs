//! A request of each format, with something to be found again in every place that a client fills.

use serde_json::{Value, json};

use crate::places::Marks;

/// The first bytes of a PNG; what follows them is nobody's picture.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const TOOL: &str = "look";

/// The formats that clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Batch,
    Chat,
    Completions,
    Count,
    CountGemini,
    Embed,
    Embeddings,
    Generate,
    Messages,
    Moderations,
    Rerank,
    Responses,
    StreamGenerate,
}

/// What a request is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Every part that the format has: instructions, a picture, a document, a tool, its call and its result.
    All,
    /// A tool that is to be called.
    Call,
    /// Text.
    Text,
}

impl Format {
    /// The format of an operation that takes a body; `None` for one that takes none. Fails for one that it does not know: every
    /// operation has its row.
    pub(crate) fn of(method: &str, path: &str) -> Option<Self> {
        let format = match (method, path) {
            ("get", "/v1/models" | "/v1/models/{model}" | "/v1beta/models" | "/v1beta/models/{model}" | "/openapi.json") => {
                return None;
            }
            ("post", "/v1/chat/completions") => Self::Chat,
            ("post", "/v1/completions") => Self::Completions,
            ("post", "/v1/embeddings") => Self::Embeddings,
            ("post", "/v1/messages") => Self::Messages,
            ("post", "/v1/messages/count_tokens") => Self::Count,
            ("post", "/v1/moderations") => Self::Moderations,
            ("post", "/v1/rerank") => Self::Rerank,
            ("post", "/v1/responses") => Self::Responses,
            ("post", "/v1beta/models/{model}:batchEmbedContents") => Self::Batch,
            ("post", "/v1beta/models/{model}:countTokens") => Self::CountGemini,
            ("post", "/v1beta/models/{model}:embedContent") => Self::Embed,
            ("post", "/v1beta/models/{model}:generateContent") => Self::Generate,
            ("post", "/v1beta/models/{model}:streamGenerateContent") => Self::StreamGenerate,
            _ => panic!("{method} {path} is served, and has no row here"),
        };
        Some(format)
    }

    /// The model stands in the path.
    pub(crate) fn is_gemini(self) -> bool {
        matches!(self, Self::Batch | Self::CountGemini | Self::Embed | Self::Generate | Self::StreamGenerate)
    }

    pub(crate) fn chats(self) -> bool {
        matches!(self, Self::Chat | Self::Generate | Self::Messages | Self::Responses | Self::StreamGenerate)
    }

    pub(crate) fn streams(self) -> bool {
        self == Self::Completions || self.chats() && self != Self::Generate
    }

    /// Providers that can be asked for it: the first one in the same format.
    pub(crate) fn targets(self) -> &'static [&'static str] {
        match self {
            Self::Chat => {
                &["openai", "compatible", "azure", "anthropic", "gemini", "vertex", "bedrock", "mistral", "cohere", "ollama"]
            }
            Self::Responses => &["openai", "compatible", "azure", "anthropic", "gemini", "vertex", "bedrock", "cohere", "ollama"],
            Self::Messages => {
                &["anthropic", "openai", "compatible", "gemini", "vertex", "bedrock", "mistral", "cohere", "ollama"]
            }
            Self::Generate | Self::StreamGenerate => {
                &["gemini", "vertex", "anthropic", "openai", "compatible", "bedrock", "mistral", "cohere", "ollama"]
            }
            Self::Count => &["anthropic", "gemini"],
            Self::CountGemini => &["gemini", "anthropic"],
            Self::Embeddings => &["openai", "compatible", "gemini", "cohere", "ollama"],
            Self::Batch | Self::Embed => &["gemini", "openai", "cohere", "ollama"],
            Self::Completions => &["openai", "compatible"],
            Self::Moderations => &["openai"],
            Self::Rerank => &["cohere", "jina"],
        }
    }

    /// A field that needs somebody to remember.
    pub(crate) fn conflict(self) -> &'static str {
        match self {
            Self::Count | Self::Messages => "container",
            _ if self.is_gemini() => "cachedContent",
            _ => "previous_response_id",
        }
    }

    /// A field that the format requires.
    pub(crate) fn needed(self) -> &'static str {
        match self {
            Self::Chat | Self::Count | Self::Messages => "messages",
            Self::Completions => "prompt",
            Self::CountGemini | Self::Generate | Self::StreamGenerate => "contents",
            Self::Embed => "content",
            Self::Batch => "requests",
            Self::Rerank => "query",
            Self::Embeddings | Self::Moderations | Self::Responses => "input",
        }
    }

    /// A body for `model`, without a stream.
    pub(crate) fn body(self, model: &str, about: About, marks: &mut Marks<'_>) -> Value {
        match self {
            Self::Chat => chat(model, about, marks),
            Self::Responses => responses(model, about, marks),
            Self::Messages => {
                let mut body = messages(model, about, marks);
                body["max_tokens"] = json!(64);
                body["metadata"] = json!({"user_id": marks.at("user id")});
                body
            }
            Self::Count => messages(model, about, marks),
            Self::Generate | Self::StreamGenerate => contents(about, marks),
            Self::CountGemini => json!({"contents": [{"role": "user", "parts": [{"text": marks.at("prompt")}]}]}),
            Self::Embed => json!({"content": {"parts": [{"text": marks.at("text")}]}, "outputDimensionality": 6}),
            Self::Batch => {
                let each = |text: String| json!({"model": format!("models/{model}"), "content": {"parts": [{"text": text}]}, "outputDimensionality": 6});
                json!({"requests": [each(marks.at("text")), each(marks.at("second text"))]})
            }
            Self::Embeddings => {
                json!({"model": model, "input": [marks.at("text"), marks.at("second text")], "dimensions": 6})
            }
            Self::Completions => json!({"model": model, "prompt": marks.at("prompt"), "suffix": marks.at("suffix")}),
            Self::Moderations => json!({"model": model, "input": [marks.at("text")]}),
            Self::Rerank => {
                json!({"model": model, "query": marks.at("query"), "documents": [marks.at("document"), marks.at("second document")]})
            }
        }
    }
}

fn schema(marks: &mut Marks<'_>) -> Value {
    // The scripted provider calls with the value that the schema names: so the arguments of the answer are to be found, too.
    json!({"type": "object", "properties": {"city": {"type": "string", "enum": [marks.at("schema, and arguments of a call")]}},
        "required": ["city"]})
}

fn png(marks: &mut Marks<'_>) -> String {
    marks.base64("picture", PNG)
}

fn pdf(marks: &mut Marks<'_>) -> String {
    marks.base64("document", b"%PDF-1.4 ")
}

fn chat(model: &str, about: About, marks: &mut Marks<'_>) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "system", "content": marks.at("system")}]});
    let tool = |marks: &mut Marks<'_>| json!([{"type": "function", "function": {"name": TOOL, "description": marks.at("tool"), "parameters": schema(marks)}}]);
    let mut say = vec![json!({"role": "user", "content": marks.at("prompt")})];
    match about {
        About::Text => {}
        About::Call => body["tools"] = tool(marks),
        About::All => {
            body["tools"] = tool(marks);
            let picture = json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{}", png(marks))}});
            let call = json!({"id": "call_1", "type": "function",
                "function": {"name": TOOL, "arguments": json!({"city": marks.at("arguments")}).to_string()}});
            say.push(json!({"role": "user", "content": [{"type": "text", "text": marks.at("text beside a picture")}, picture]}));
            say.push(json!({"role": "assistant", "tool_calls": [call]}));
            say.push(json!({"role": "tool", "tool_call_id": "call_1", "content": marks.at("result")}));
        }
    }
    body["messages"].as_array_mut().expect("messages").extend(say);
    body
}

fn responses(model: &str, about: About, marks: &mut Marks<'_>) -> Value {
    let mut body = json!({"model": model, "instructions": marks.at("system"), "input": []});
    let tool = |marks: &mut Marks<'_>| json!([{"type": "function", "name": TOOL, "description": marks.at("tool"), "parameters": schema(marks), "strict": false}]);
    let mut input = vec![json!({"role": "user", "content": marks.at("prompt")})];
    match about {
        About::Text => {}
        About::Call => body["tools"] = tool(marks),
        About::All => {
            body["tools"] = tool(marks);
            let picture = json!({"type": "input_image", "detail": "auto",
                "image_url": format!("data:image/png;base64,{}", png(marks))});
            let text = json!({"type": "input_text", "text": marks.at("text beside a picture")});
            input.push(json!({"role": "user", "content": [text, picture]}));
            input.push(json!({"type": "function_call", "call_id": "call_1", "name": TOOL,
                "arguments": json!({"city": marks.at("arguments")}).to_string()}));
            input.push(json!({"type": "function_call_output", "call_id": "call_1", "output": marks.at("result")}));
        }
    }
    body["input"] = Value::Array(input);
    body
}

fn messages(model: &str, about: About, marks: &mut Marks<'_>) -> Value {
    let mut body = json!({"model": model, "system": [{"type": "text", "text": marks.at("system")}]});
    let tool = |marks: &mut Marks<'_>| json!([{"name": TOOL, "description": marks.at("tool"), "input_schema": schema(marks)}]);
    let mut say = vec![json!({"role": "user", "content": marks.at("prompt")})];
    match about {
        About::Text => {}
        About::Call => body["tools"] = tool(marks),
        About::All => {
            body["tools"] = tool(marks);
            let picture = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png(marks)}});
            say = vec![json!({"role": "user", "content": [{"type": "text", "text": marks.at("prompt")}, picture]})];
            say.push(json!({"role": "assistant",
                "content": [{"type": "tool_use", "id": "call_1", "name": TOOL, "input": {"city": marks.at("arguments")}}]}));
            say.push(json!({"role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": marks.at("result")}]}));
        }
    }
    body["messages"] = Value::Array(say);
    body
}

fn contents(about: About, marks: &mut Marks<'_>) -> Value {
    let mut body = json!({"systemInstruction": {"parts": [{"text": marks.at("system")}]}});
    let tool = |marks: &mut Marks<'_>| json!([{"functionDeclarations": [{"name": TOOL, "description": marks.at("tool"), "parametersJsonSchema": schema(marks)}]}]);
    let mut say = vec![json!({"role": "user", "parts": [{"text": marks.at("prompt")}]})];
    match about {
        About::Text => {}
        About::Call => body["tools"] = tool(marks),
        About::All => {
            body["tools"] = tool(marks);
            let picture = json!({"inlineData": {"mimeType": "image/png", "data": png(marks)}});
            say = vec![json!({"role": "user", "parts": [{"text": marks.at("prompt")}, picture]})];
            say.push(
                json!({"role": "model", "parts": [{"functionCall": {"name": TOOL, "args": {"city": marks.at("arguments")}}}]}),
            );
            say.push(json!({"role": "user",
                "parts": [{"functionResponse": {"name": TOOL, "response": {"result": marks.at("result")}}}]}));
        }
    }
    body["contents"] = Value::Array(say);
    body
}

/// The same request with a document in it, where the format has documents.
pub(crate) fn with_document(format: Format, mut body: Value, marks: &mut Marks<'_>) -> Option<Value> {
    let name = format!("{}.pdf", marks.at("file name"));
    let part = match format {
        Format::Chat => json!({"type": "file", "file":
            {"filename": name, "file_data": format!("data:application/pdf;base64,{}", pdf(marks))}}),
        Format::Responses => json!({"type": "input_file", "filename": name,
            "file_data": format!("data:application/pdf;base64,{}", pdf(marks))}),
        Format::Messages | Format::Count => json!({"type": "document", "title": name,
            "source": {"type": "base64", "media_type": "application/pdf", "data": pdf(marks)}}),
        Format::Generate | Format::StreamGenerate => json!({"inlineData": {"mimeType": "application/pdf", "data": pdf(marks)}}),
        _ => return None,
    };
    let (list, key) = match format {
        Format::Responses => ("input", "content"),
        Format::Generate | Format::StreamGenerate => ("contents", "parts"),
        _ => ("messages", "content"),
    };
    body[list].as_array_mut()?.push(json!({"role": "user", key: [part]}));
    Some(body)
}

/// The same request with a picture that is not base64.
pub(crate) fn with_bad_picture(format: Format, mut body: Value, marks: &mut Marks<'_>) -> Option<Value> {
    let bad = format!("{}!", marks.at("bad picture"));
    let url = format!("data:image/png;base64,{bad}");
    let (list, key, part) = match format {
        Format::Chat => ("messages", "content", json!({"type": "image_url", "image_url": {"url": url}})),
        Format::Responses => ("input", "content", json!({"type": "input_image", "image_url": url})),
        Format::Messages | Format::Count => (
            "messages",
            "content",
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": bad}}),
        ),
        Format::Generate | Format::StreamGenerate => {
            ("contents", "parts", json!({"inlineData": {"mimeType": "image/png", "data": bad}}))
        }
        _ => return None,
    };
    body[list].as_array_mut()?.push(json!({"role": "user", key: [part]}));
    Some(body)
}
