//! Embeddings asked of providers with an API of their own, in terms of OpenAI's.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use lethe_content::ContentBuf;
use lethe_providers::{cohere, ollama, vertex};
use lethe_wire::conversation::Sending;
use lethe_wire::embeddings::{EmbedReply, gemini, openai};
use lethe_wire::refusal::Refusal;
use proptest::prelude::*;
use serde_json::{Value, json};

const TO: Sending<'_> = Sending { model: "p", max_output_tokens: None };

fn request(write: fn(&lethe_wire::embeddings::EmbedRequest<'_>, &Sending<'_>, &mut ContentBuf) -> Result<(), Refusal>) -> Value {
    let body =
        json!({"model": "m", "input": ["a \"b\"", "c"], "dimensions": 2, "encoding_format": "base64", "user": "u"}).to_string();
    let request = openai::read_request(body.as_bytes()).ok().unwrap();
    let mut out = ContentBuf::new();
    write(&request, &TO, &mut out).unwrap();
    let tokens = openai::read_request(br#"{"model":"m","input":[1,2]}"#).ok().unwrap();
    assert!(write(&tokens, &TO, &mut ContentBuf::new()).is_err(), "numbers of tokens are another model's");
    serde_json::from_slice(out.expose()).unwrap()
}

fn answered(reply: &EmbedReply<'_>) -> Value {
    let request = openai::read_request(br#"{"model":"m","input":["a","b"]}"#).ok().unwrap();
    let mut out = ContentBuf::new();
    openai::write_reply(reply, &request.wanted(), "m", &mut out).ok().unwrap();
    serde_json::from_slice(out.expose()).unwrap()
}

fn expected() -> Value {
    json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 7, "total_tokens": 7}, "data": [
        {"object": "embedding", "index": 0, "embedding": [1, 0.5]}, {"object": "embedding", "index": 1, "embedding": [0, -1]}]})
}

#[test]
fn cohere_makes_vectors() {
    assert_eq!(
        request(cohere::embed::write_request),
        json!({"model": "p", "input_type": "search_document", "texts": ["a \"b\"", "c"], "output_dimension": 2,
            "embedding_types": ["float"], "truncate": "NONE"})
    );
    let body = json!({"id": "x", "response_type": "embeddings_by_type", "texts": ["a", "b"], "embeddings": {"float": [[1, 0.5], [0, -1]]},
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 7}}})
    .to_string();
    assert_eq!(answered(&cohere::embed::read_reply(body.as_bytes()).ok().unwrap()), expected());
    for bad in [r#"{"message":"no"}"#, r#"{"embeddings":{"float":[1]}}"#, r#"{"embeddings":{"int8":[[1]]}}"#] {
        assert!(cohere::embed::read_reply(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn ollama_makes_vectors() {
    assert_eq!(
        request(ollama::embed::write_request),
        json!({"model": "p", "input": ["a \"b\"", "c"], "dimensions": 2, "truncate": false})
    );
    let body = json!({"model": "p", "embeddings": [[1, 0.5], [0, -1]], "total_duration": 1, "prompt_eval_count": 7}).to_string();
    assert_eq!(answered(&ollama::embed::read_reply(body.as_bytes()).ok().unwrap()), expected());
    for bad in [r#"{"error":"no"}"#, r#"{"embeddings":[1]}"#] {
        assert!(ollama::embed::read_reply(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn vertex_makes_vectors() {
    assert_eq!(
        request(vertex::embed::write_request),
        json!({"instances": [{"content": "a \"b\""}, {"content": "c"}],
            "parameters": {"autoTruncate": false, "outputDimensionality": 2}})
    );
    let one = |values: Value, tokens: u32| json!({"embeddings": {"values": values, "statistics": {"truncated": false, "token_count": tokens}}});
    let body =
        json!({"predictions": [one(json!([1, 0.5]), 3), one(json!([0, -1]), 4)], "metadata": {"billableCharacterCount": 6}});
    assert_eq!(answered(&vertex::embed::read_reply(body.to_string().as_bytes()).ok().unwrap()), expected());
    // A sum without one of its parts would be a wrong count.
    let uncounted = json!({"predictions": [one(json!([1, 0.5]), 3), {"embeddings": {"values": [0, -1]}}]}).to_string();
    assert_eq!(vertex::embed::read_reply(uncounted.as_bytes()).ok().unwrap().tokens, None);
    for bad in [r#"{"error":{"code":400}}"#, r#"{"predictions":[1]}"#, r#"{"predictions":[{"embeddings":{}}]}"#] {
        assert!(vertex::embed::read_reply(bad.as_bytes()).is_err(), "{bad}");
    }
}

/// Its first model of Gemini's takes one text: several are refused as the client calls them, before anything is sent.
#[test]
fn a_model_of_vertex_takes_one_text() {
    let to = Sending { model: "gemini-embedding-001", max_output_tokens: None };
    let refused = |request: &lethe_wire::embeddings::EmbedRequest<'_>| match vertex::embed::write_request(
        request,
        &to,
        &mut ContentBuf::new(),
    ) {
        Ok(()) => None,
        Err(Refusal::Untranslatable { field, .. }) => Some(field),
        Err(_) => Some("something else"),
    };
    let asked = |body: &'static str| refused(&openai::read_request(body.as_bytes()).ok().unwrap());
    assert_eq!(asked(r#"{"model":"m","input":["a","b"]}"#), Some("input"));
    assert_eq!(asked(r#"{"model":"m","input":["a"]}"#), None);
    let several = r#"{"requests":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]}}]}"#;
    assert_eq!(refused(&gemini::read_request(several.as_bytes()).ok().unwrap()), Some("requests"));
}

proptest! {
    #[test]
    fn no_input_panics(input in r#"[\{\}\[\]:,"a0-9.e\\-]{0,40}"#) {
        for body in [input.clone(), format!(r#"{{"embeddings":{input}}}"#), format!(r#"{{"embeddings":{{"float":{input}}}}}"#), format!(r#"{{"predictions":[{input}]}}"#)] {
            let _ = cohere::embed::read_reply(body.as_bytes());
            let _ = ollama::embed::read_reply(body.as_bytes());
            let _ = vertex::embed::read_reply(body.as_bytes());
        }
    }
}
