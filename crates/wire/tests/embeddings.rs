//! Embeddings of one API read and written as those of the other.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use lethe_content::ContentBuf;
use lethe_types::Api;
use lethe_wire::conversation::{Malformed, Sending};
use lethe_wire::embeddings::{EmbedRequest, gemini, openai};
use lethe_wire::refusal::Refusal;
use proptest::prelude::*;
use serde_json::{Value, json};

const TO: Sending<'_> = Sending { model: "n", max_output_tokens: None };

fn as_gemini(request: &EmbedRequest<'_>) -> Result<Value, Refusal> {
    let mut out = ContentBuf::new();
    gemini::write_request(request, &TO, &mut out)?;
    Ok(serde_json::from_slice(out.expose()).unwrap())
}

fn as_openai(request: &EmbedRequest<'_>) -> Result<Value, Refusal> {
    let mut out = ContentBuf::new();
    openai::write_request(request, &TO, &mut out)?;
    Ok(serde_json::from_slice(out.expose()).unwrap())
}

#[test]
fn what_is_written_is_what_was_read() {
    for request in [
        json!({"content": {"parts": [{"text": "a \"b\""}]}, "taskType": "RETRIEVAL_DOCUMENT", "title": "t", "outputDimensionality": 5}),
        json!({"requests": [{"model": "models/n", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 5},
            {"model": "models/n", "content": {"parts": [{"text": "b"}]}, "outputDimensionality": 5}]}),
    ] {
        let body = request.to_string();
        assert_eq!(as_gemini(&gemini::read_request(body.as_bytes()).ok().unwrap()).unwrap(), request);
    }
    for request in [
        json!({"model": "n", "input": ["a", "b\n"], "dimensions": 5, "encoding_format": "base64"}),
        json!({"model": "n", "input": [[1, 2], [3]], "encoding_format": "float"}),
    ] {
        let body = request.to_string();
        assert_eq!(as_openai(&openai::read_request(body.as_bytes()).ok().unwrap()).unwrap(), request);
    }
}

#[test]
fn each_is_written_as_the_other() {
    let chat = br#"{"model":"m","input":"a","dimensions":3,"user":"u","encoding_format":null}"#;
    let batch = json!({"requests": [{"model": "models/n", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 3}]});
    assert_eq!(as_gemini(&openai::read_request(chat).ok().unwrap()).unwrap(), batch);
    let single = br#"{"content":{"parts":{"text":"a"}},"output_dimensionality":3,"task_type":"TASK_TYPE_UNSPECIFIED"}"#;
    let expected = json!({"model": "n", "input": ["a"], "dimensions": 3, "encoding_format": "float"});
    assert_eq!(as_openai(&gemini::read_request(single).ok().unwrap()).unwrap(), expected);
    let tokens = br#"{"model":"m","input":[1,2]}"#;
    let untranslatable = |field, target| Some(Refusal::Untranslatable { field, target });
    assert_eq!(as_gemini(&openai::read_request(tokens).ok().unwrap()).err(), untranslatable("input", Api::EmbedContent));
    let task = br#"{"content":{"parts":[{"text":"a"}]},"taskType":"RETRIEVAL_QUERY"}"#;
    assert_eq!(as_openai(&gemini::read_request(task).ok().unwrap()).err(), untranslatable("taskType", Api::Embeddings));
}

#[test]
fn nothing_is_dropped_in_silence() {
    for bad in [
        r#"{"input":"a","persist":1}"#,
        r#"{"input":[]}"#,
        r#"{"input":[null]}"#,
        r#"{"input":"a","encoding_format":"int8"}"#,
        r#"{"input":"a","dimensions":1.5}"#,
        "{}",
    ] {
        assert!(openai::read_request(bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in [
        r#"{"content":{"parts":[{"text":"a"}]},"persist":1}"#,
        r#"{"content":{"parts":[{"text":"a"},{"text":"b"}]}}"#,
        r#"{"content":{"parts":[{"inlineData":{}}]}}"#,
        r#"{"requests":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]},"outputDimensionality":3}]}"#,
        r#"{"requests":[{"content":{"parts":[{"text":"a"}]}}],"outputDimensionality":3}"#,
        r#"{"requests":[]}"#,
        "{}",
    ] {
        assert!(gemini::read_request(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn vectors_come_in_the_clients_form() {
    let google = br#"{"embeddings":[{"values":[1,-0.50]},{"values":[0.1]}],"usageMetadata":{"promptTokenCount":3}}"#;
    let reply = gemini::read_reply(google).ok().unwrap();
    let answer = |body: &str| {
        let request = openai::read_request(body.as_bytes()).ok().unwrap();
        let mut out = ContentBuf::new();
        openai::write_reply(&reply, &request.wanted(), "m", &mut out)?;
        Ok::<_, Malformed>(String::from_utf8(out.expose().to_vec()).unwrap())
    };
    assert_eq!(
        answer(r#"{"input":["a","b"]}"#).ok().unwrap(),
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,-0.50]},{"object":"embedding","index":1,"embedding":[0.1]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#
    );
    let base64: Value = serde_json::from_str(&answer(r#"{"input":["a","b"],"encoding_format":"base64"}"#).ok().unwrap()).unwrap();
    assert_eq!((&base64["data"][0]["embedding"], &base64["data"][1]["embedding"]), (&json!("AACAPwAAAL8="), &json!("zczMPQ==")));
    assert_eq!(answer(r#"{"input":"a"}"#).err(), Some(Malformed), "two vectors for one text");

    let openai = br#"{"object":"list","data":[{"index":1,"embedding":"zczMPQ=="},{"index":0,"embedding":[2]}],"usage":{"prompt_tokens":4}}"#;
    let reply = openai::read_reply(openai).ok().unwrap();
    let request = br#"{"requests":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]}}]}"#;
    let mut out = ContentBuf::new();
    gemini::write_reply(&reply, &gemini::read_request(request).ok().unwrap().wanted(), &mut out).unwrap();
    let batch = json!({"embeddings": [{"values": [2]}, {"values": [0.1]}], "usageMetadata": {"promptTokenCount": 4}});
    assert_eq!(serde_json::from_slice::<Value>(out.expose()).unwrap(), batch);

    let one = openai::read_reply(br#"{"data":[{"embedding":[2]}]}"#).ok().unwrap();
    let mut out = ContentBuf::new();
    let single = gemini::read_request(br#"{"content":{"parts":[{"text":"a"}]}}"#).ok().unwrap();
    gemini::write_reply(&one, &single.wanted(), &mut out).unwrap();
    assert_eq!(out.expose(), br#"{"embedding":{"values":[2]}}"#);
}

#[test]
fn what_is_no_answer_is_malformed() {
    for bad in ["{}", r#"{"data":[]}"#, r#"{"data":[{"index":1,"embedding":[]}]}"#, r#"{"data":[{}]}"#, r#"{"error":{}}"#] {
        assert!(openai::read_reply(bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in ["{}", r#"{"embeddings":[{}]}"#, r#"{"embedding":{"values":"x"}}"#, r#"{"error":{}}"#] {
        assert!(gemini::read_reply(bad.as_bytes()).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (openai::read_request(&input), openai::read_reply(&input), gemini::read_request(&input), gemini::read_reply(&input));
    }
}
