//! Gemini's formats read into the common form and written again: the same meaning comes out.

#![expect(clippy::unwrap_used, reason = "a failed test")]

use lethe_content::ContentBuf;
use lethe_policy::{ApiRules, ProviderKind};
use lethe_types::Api;
use lethe_wire::conversation::{
    Event, Identity, Malformed, Request, Sending, StreamReader, StreamWriter, ToolChoice, Usage, Wanted,
};
use lethe_wire::error::{ErrorBody, ErrorType};
use lethe_wire::gemini::{Framing, Reader, Writer, read_reply, read_request, write_reply, write_request};
use lethe_wire::inspect::{Change, inspect};
use lethe_wire::refusal::Refusal;
use proptest::prelude::*;
use serde_json::{Value, json};

const MODEL: &str = "gemini-3-pro-preview";

fn written(request: &Request<'_>, model: &str) -> Result<Value, Refusal> {
    let mut out = ContentBuf::new();
    write_request(request, &Sending { model, max_output_tokens: None }, &mut out)?;
    Ok(serde_json::from_slice(out.expose()).unwrap())
}

fn read(body: &str) -> Result<Request<'_>, Refusal> {
    inspect(body.as_bytes(), Api::GenerateContent)?;
    read_request(body.as_bytes())
}

fn again(request: &Value) -> Value {
    let body = request.to_string();
    let request = read(&body).map_err(|refusal| format!("{refusal:?}")).unwrap();
    written(&request, MODEL).unwrap()
}

fn named(refusal: Option<Refusal>) -> String {
    match refusal {
        Some(Refusal::UntranslatableUnknown(name) | Refusal::DuplicateField(name)) => name.as_str().to_owned(),
        Some(Refusal::BadMedia(name, _) | Refusal::WrongType(name, _) | Refusal::MissingField(name)) => name.to_owned(),
        Some(Refusal::Untranslatable { field, .. }) => field.to_owned(),
        Some(Refusal::Conflict(conflict)) => conflict.field.to_owned(),
        other => format!("{other:?}"),
    }
}

/// Requests in the form in which Lethe writes them.
fn canonical() -> Vec<Value> {
    let user = json!([{"role": "user", "parts": [{"text": "Hi \"there\"\n\u{1}é😀"}]}]);
    let function = json!({"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {"a": {"type": "string"}}}});
    vec![
        json!({"contents": user}),
        json!({"contents": user, "systemInstruction": {"parts": [{"text": "be"}, {"text": "brief"}]}, "generationConfig": {
            "temperature": 0.5, "topP": 1, "topK": 40, "maxOutputTokens": 5, "stopSequences": ["a", "b"], "seed": -7,
            "presencePenalty": 1.5, "frequencyPenalty": -0.1,
            "thinkingConfig": {"includeThoughts": true, "thinkingLevel": "LOW"}}}),
        json!({"contents": user, "generationConfig": {"candidateCount": 2, "responseModalities": ["TEXT", "IMAGE"],
            "mediaResolution": "MEDIA_RESOLUTION_LOW", "thinkingConfig": {"thinkingBudget": -1}},
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            "tools": [{"functionDeclarations": [function]}, {"googleSearch": {}}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
                "retrievalConfig": {"languageCode": "en"}}}),
        json!({"contents": [
                {"role": "user", "parts": [{"text": "what is it?"},
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, {"inlineData": {"mimeType": "audio/wav", "data": "AAA="}},
                    {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}}, {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}]},
                {"role": "model", "parts": [{"text": "hm", "thought": true, "thoughtSignature": "c2ln"}, {"text": "I call", "thoughtSignature": "dGV4dA=="},
                    {"functionCall": {"id": "a", "name": "f", "args": {"a": "\"\n"}}, "thoughtSignature": "Y2FsbA=="},
                    {"functionCall": {"id": "b", "name": "f", "args": {}}}]},
                {"role": "user", "parts": [{"functionResponse": {"id": "a", "name": "f", "response": {"output": "one \"1\""}}},
                    {"functionResponse": {"id": "b", "name": "f", "response": {"degrees": [5], "unit": "\"C\""},
                     "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}}]},
                {"role": "model", "parts": [{"functionCall": {"id": "c", "name": "g", "args": {}}, "thoughtSignature": "Yw=="}]},
                {"role": "user", "parts": [{"functionResponse": {"id": "c", "name": "g", "response": {"error": "no"}}}]}],
            "tools": [{"functionDeclarations": [function, {"name": "g"}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}}),
        json!({"contents": user, "generationConfig": {"responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object", "$defs": {}, "additionalProperties": false}, "thinkingConfig": {"thinkingBudget": 512}},
            "tools": [{"functionDeclarations": [function]}], "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}}),
        json!({"contents": user, "generationConfig": {"responseMimeType": "application/json"},
            "toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
    ]
}

#[test]
fn what_is_written_is_what_was_read() {
    for request in canonical() {
        assert_eq!(again(&request), request);
    }
}

/// As the reference's own examples for the command line are spelled.
#[test]
fn other_spellings_say_the_same() {
    let request = json!({"system_instruction": {"role": "user", "parts": {"text": "be brief"}}, "model": "models/m", "store": false,
        "contents": {"parts": {"inline_data": {"mime_type": "image/png", "data": "-_8"}}}, "cachedContent": null, "safetySettings": [],
        "tools": {"function_declarations": {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a_b": {"type": "STRING", "nullable": true}}}}},
        "tool_config": {"function_calling_config": {"mode": "auto"}},
        "generation_config": {"top_p": 1, "max_output_tokens": 9, "candidate_count": 1, "response_modalities": ["Text"], "response_mime_type": "text/plain"}});
    let written = json!({"systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "+/8="}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object", "properties": {"a_b": {"type": ["string", "null"]}}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}, "generationConfig": {"topP": 1, "maxOutputTokens": 9}});
    assert_eq!(again(&request), written);
}

#[test]
fn calls_without_ids_get_them_in_their_order() {
    let call = |name: &str| json!({"functionCall": {"name": name}});
    let result = |name: &str, said: &str| json!({"functionResponse": {"name": name, "response": {"output": said}}});
    let request = json!({"contents": [{"role": "model", "parts": [call("f"), call("g"), call("f")]},
        {"role": "function", "parts": [result("f", "1"), result("f", "3")]}, {"role": "function", "parts": [result("g", "2")]}]});
    let written = again(&request);
    let ids: Vec<&Value> =
        written["contents"][1]["parts"].as_array().unwrap().iter().map(|part| &part["functionResponse"]["id"]).collect();
    assert_eq!(ids, ["call_0", "call_2", "call_1"]);
    assert_eq!(written["contents"].as_array().unwrap().len(), 2, "results of one turn are one content");
    let parts = written["contents"][0]["parts"].as_array().unwrap();
    let signed: Vec<bool> = parts.iter().map(|part| part["thoughtSignature"] == "skip_thought_signature_validator").collect();
    assert_eq!(signed, [true, false, false], "the first call of several has the signature");
    let body = request.to_string();
    let older = super_written(&body, "gemini-2.5-flash");
    assert!(older["contents"][0]["parts"][0].get("thoughtSignature").is_none());
    let lone = json!({"contents": [{"role": "user", "parts": [result("f", "1")]}]}).to_string();
    assert_eq!(named(read(&lone).err()), "contents.parts.functionResponse");
}

fn super_written(body: &str, model: &str) -> Value {
    written(&read(body).ok().unwrap(), model).unwrap()
}

/// What Google's own library for Python sends of its own accord.
#[test]
fn what_its_library_adds_is_understood() {
    let request = json!({"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"topK": 40.0}, "tools": [{"functionDeclarations": [
        {"name": "f", "description": "d", "parameters_json_schema": {"type": "object"}, "response_json_schema": {"type": "object"}},
        {"name": "g", "response": {"type": "STRING"}}]}]});
    let written = again(&request);
    assert_eq!(written["generationConfig"]["topK"].to_string(), "40");
    let functions = &written["tools"][0]["functionDeclarations"];
    assert_eq!(functions[0]["description"], "d\n\nIts result follows this JSON Schema: {\"type\":\"object\"}");
    assert_eq!(functions[1]["description"], "Its result follows this JSON Schema: {\"type\":\"string\"}");
}

/// Clients keep each step of a stream as a content of its own.
#[test]
fn a_streamed_answer_sent_back_is_one_message() {
    let step = |part: Value| json!({"role": "model", "parts": [part]});
    let request = json!({"contents": [{"role": "user", "parts": [{"text": "x"}]},
        step(json!({"text": "h", "thought": true})), step(json!({"text": "m", "thought": true})), step(json!({"text": "", "thought": true, "thoughtSignature": "c2ln"})),
        step(json!({"text": "He"})), step(json!({"text": "llo"})), {"role": "model", "parts": []}]});
    let parts = json!([{"text": "hm", "thought": true, "thoughtSignature": "c2ln"}, {"text": "Hello"}]);
    assert_eq!(again(&request)["contents"][1]["parts"], parts);
}

#[test]
fn effort_is_a_level_or_a_budget_as_the_model_takes_it() {
    let body =
        json!({"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"thinkingConfig": {"thinkingLevel": "high"}}})
            .to_string();
    let config = |model| super_written(&body, model)["generationConfig"]["thinkingConfig"].clone();
    assert_eq!(config("gemini-3-flash"), json!({"thinkingLevel": "HIGH"}));
    assert_eq!(config("gemini-2.5-flash"), json!({"thinkingBudget": 16384}));
}

#[test]
fn nothing_is_dropped_in_silence() {
    let refused = |fields: &str| named(read(&format!(r#"{{"contents":[]{fields}}}"#)).err());
    let part = |part: &str| named(read(&format!(r#"{{"contents":[{{"parts":[{part}]}}]}}"#)).err());
    assert_eq!(refused(r#","persist":1"#), "persist");
    assert_eq!(refused(r#","cached_content":"c""#), "cachedcontent");
    assert_eq!(refused(r#","Store":true"#), "store");
    assert_eq!(refused(r#","generationConfig":{"topp":1}"#), "generationConfig.topp");
    assert_eq!(refused(r#","generationConfig":{"top_p":1,"topP":1}"#), "generationConfig.topP");
    assert_eq!(refused(r#","generationConfig":{},"generation_config":{}"#), "generation_config");
    assert_eq!(refused(r#","generationConfig":{"responseMimeType":"text/x.enum"}"#), "generationConfig.responseMimeType");
    assert_eq!(refused(r#","tools":[{"telepathy":{}}]"#), "tools.telepathy");
    assert_eq!(
        refused(r#","tools":[{"functionDeclarations":[{"name":"f","behavior":"NON_BLOCKING"}]}]"#),
        "tools.functionDeclarations.behavior"
    );
    assert_eq!(refused(r#","toolConfig":{"functionCallingConfig":{"mode":"MAYBE"}}"#), "toolConfig.functionCallingConfig.mode");
    assert_eq!(part(r#"{"fileData":{"fileUri":"https://a/b"}}"#), "contents.parts.fileData");
    assert_eq!(part(r#"{"FILE_D\u0061ta":{}}"#), "contents.parts.fileData");
    assert_eq!(part(r#"{"functionResponse":{"name":"f","parts":[{"file_data":{}}]}}"#), "contents.parts.fileData");
    assert_eq!(part(r#"{"text":"x","fileData":null,"file_data":{}}"#), "fileData");
    assert_eq!(part(r#"{"executableCode":{"code":"x"}}"#), "contents.parts.executableCode");
    assert_eq!(part(r#"{"text":"x","videoMetadata":{}}"#), "contents.parts.videoMetadata");
    assert_eq!(part(r#"{"inlineData":{"mimeType":"image/png","data":"A?"}}"#), "contents.parts.inlineData.data");
    assert_eq!(part(r#"{"inlineData":{"data":"AAAA"}}"#), "contents.parts.inlineData.mimeType");
    assert_eq!(part("{}"), "contents.parts");
    assert_eq!(part(r#"{"text":"x","functionCall":{"name":"f"}}"#), "contents.parts");
    assert_eq!(named(read(r#"{"contents":[{"role":"system","parts":[]}]}"#).err()), "contents.role");
    assert_eq!(named(read("{}").err()), "contents");
    // A field with a meaning here is carried along, and refused by the format that has none for it.
    let body = r#"{"contents":[],"generationConfig":{"candidateCount":2}}"#;
    assert_eq!(named(read(body).ok().unwrap().refuse_own(Api::Chat).err()), "generationConfig.candidateCount");
}

#[test]
fn what_cannot_be_said_here_is_refused_by_name() {
    let chat = |body: Value| {
        let body = body.to_string();
        let request = lethe_wire::openai::read_request(body.as_bytes()).ok().unwrap();
        named(written(&request, MODEL).err())
    };
    let user = json!({"role": "user", "content": "x"});
    assert_eq!(chat(json!({"model": "m", "messages": [user], "logit_bias": {"1": 1}})), "logit_bias");
    assert_eq!(chat(json!({"model": "m", "messages": [{"role": "system", "content": "x"}]})), "messages");
    assert_eq!(chat(json!({"model": "m", "messages": [user, {"role": "system", "content": "x"}]})), "messages.role");
    assert_eq!(
        chat(json!({"model": "m", "messages": [user, {"role": "tool", "tool_call_id": "t", "content": "x"}]})),
        "messages.tool_call_id"
    );
    assert_eq!(chat(json!({"model": "m", "messages": [{"role": "user", "name": "a", "content": "x"}]})), "messages.name");
}

#[test]
fn presets_see_tools_and_fields_as_the_reference_spells_them() {
    let rules = ApiRules {
        fields: ["contents", "generationConfig", "tools"].map(String::from).into(),
        tool_types: vec!["functionDeclarations".into()],
        force: vec![("store".into(), "false".into())],
        ..ApiRules::plain(Api::GenerateContent)
    };
    let check = |fields: &str| {
        let body = format!(r#"{{"contents":[]{fields}}}"#);
        inspect(body.as_bytes(), Api::GenerateContent).ok().unwrap().check(ProviderKind::Hosted, &rules)
    };
    assert_eq!(check(r#","generation_config":{},"tools":[{"function_declarations":[]}]"#), Ok(()));
    assert!(
        matches!(check(r#","tools":{"google_search":{}}"#), Err(Refusal::UnknownTool(tool)) if tool.as_str() == "googleSearch")
    );
    assert!(matches!(check(r#","safety_settings":[]"#), Err(Refusal::UnknownField(name)) if name.as_str() == "safetySettings"));
    let edited = |api, body: &str| {
        let mut out = ContentBuf::new();
        let change = Change { model: "n", pseudonym: "p", cache: false };
        inspect(body.as_bytes(), api).ok().unwrap().edits(&change, &ApiRules::plain(api)).apply(body.as_bytes(), &mut out);
        String::from_utf8(out.expose().to_vec()).unwrap()
    };
    let batch = r#"{"requests":[{"model":"models/n","content":{"parts":[]}},{"model":"models/n"}]}"#;
    assert_eq!(edited(Api::EmbedContent, &batch.replace("models/n", "models/m")), batch);
    let count = r#"{"generate_content_request":{"model":"models/n","contents":[]}}"#;
    assert_eq!(edited(Api::CountTokens, &count.replace("models/n", "m")), count);
    for hidden in [
        r#"{"generateContentRequest":{"cached_content":"c"}}"#,
        r#"{"generateContentRequest":{"contents":[{"parts":[{"fileData":{}}]}]}}"#,
        r#"{"contents":{"parts":{"fileData":{}}}}"#,
    ] {
        assert!(matches!(inspect(hidden.as_bytes(), Api::CountTokens).err(), Some(Refusal::Conflict(_))), "{hidden}");
    }
    let hidden = r#"{"requests":[{"content":{"parts":[{"fileData":{}}]}}]}"#;
    assert!(matches!(inspect(hidden.as_bytes(), Api::EmbedContent).err(), Some(Refusal::Conflict(_))));
}

fn identity() -> Identity {
    Identity { id: "r1".into(), created: 2, model: "m".into() }
}

#[test]
fn an_answer_keeps_its_meaning() {
    let reply = json!({"candidates": [{"content": {"parts": [{"text": "hm", "thought": true}, {"text": "He\n\""},
        {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}, "thoughtSignature": "Yw=="}], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 5, "cachedContentTokenCount": 2, "candidatesTokenCount": 3, "thoughtsTokenCount": 4, "totalTokenCount": 12},
        "modelVersion": "m", "responseId": "r1"});
    let body = reply.to_string();
    let read = read_reply(body.as_bytes()).ok().unwrap();
    let usage = Usage { input: 5, cached: Some(2), cache_written: None, output: 7, reasoning: Some(4) };
    assert_eq!(read.usage, Some(usage));
    let mut out = ContentBuf::new();
    write_reply(&read, &identity(), &mut out).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(out.expose()).unwrap(), reply);
}

/// What the answer's end becomes for a client of chat completions.
#[test]
fn every_end_is_told_or_is_an_error() {
    let end = |body: String| {
        let mut out = ContentBuf::new();
        lethe_wire::openai::write_reply(&read_reply(body.as_bytes())?, &identity(), &mut out)?;
        let value: Value = serde_json::from_slice(out.expose()).unwrap();
        Ok::<_, Malformed>(value["choices"][0]["finish_reason"].as_str().unwrap().to_owned())
    };
    let finish =
        |reason: &str| end(format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"x"}}]}},"finishReason":"{reason}"}}]}}"#));
    for (reason, told) in [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
    ] {
        assert_eq!(finish(reason).ok().as_deref(), Some(told), "{reason}");
    }
    for reason in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "FINISH_REASON_UNSPECIFIED", "TOMORROWS"] {
        assert_eq!(finish(reason).err(), Some(Malformed), "{reason}");
    }
    let blocked = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":1}}"#;
    assert_eq!(end(blocked.into()).ok().as_deref(), Some("content_filter"));
    let call =
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}],"responseId":"ab-C"}"#;
    assert_eq!(end(call.into()).ok().as_deref(), Some("tool_calls"));
    for bad in [
        "{}",
        "[]",
        r#"{"candidates":[]}"#,
        r#"{"error":{"message":"x"}}"#,
        r#"{"candidates":[{"index":1,"finishReason":"STOP"}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"executableCode":{}}]},"finishReason":"STOP"}]}"#,
        r#"{"candidates":[{"finishReason":"STOP"},{"finishReason":"STOP"}]}"#,
    ] {
        assert_eq!(read_reply(bad.as_bytes()).err(), Some(Malformed), "{bad}");
    }
}

const WANTED: Wanted = Wanted { stream: true, usage: true, encrypted_reasoning: true };

/// The responses in a stream of this API.
fn responses(text: &str, framing: Framing) -> Vec<Value> {
    match framing {
        Framing::Array => serde_json::from_str(text).unwrap(),
        Framing::Events => text
            .split("\r\n\r\n")
            .filter(|event| !event.is_empty())
            .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
            .collect(),
    }
}

fn through(mut reader: impl StreamReader, frames: &[&str], framing: Framing) -> Result<(Vec<Value>, bool), Malformed> {
    let (mut writer, mut out) = (Writer::new(identity(), WANTED, framing), ContentBuf::new());
    let mut failed = Ok(());
    for frame in frames {
        reader.read(b"", frame.as_bytes(), &mut |event| failed = failed.and(writer.write(&event, &mut out)))?;
    }
    failed?;
    writer.end(&mut out);
    assert!(writer.held() == 0 || !reader.is_complete());
    Ok((responses(std::str::from_utf8(out.expose()).unwrap(), framing), reader.is_complete()))
}

const STREAM: [&str; 5] = [
    r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":5},"responseId":"r"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"He\n"}],"role":"model"}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"\""}},"thoughtSignature":"Yw=="},{"functionCall":{"name":"g"}}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":6}}"#,
    r#"{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7}}"#,
];

#[test]
fn a_stream_keeps_its_meaning_in_both_framings() {
    for framing in [Framing::Array, Framing::Events] {
        let (steps, complete) = through(Reader::default(), &STREAM, framing).unwrap();
        assert!(complete);
        let parts = |at: usize| steps[at]["candidates"][0]["content"]["parts"].clone();
        assert_eq!(parts(0), json!([{"text": "hm", "thought": true}]));
        assert_eq!(parts(1), json!([{"text": "He\n"}]));
        assert_eq!(
            parts(2),
            json!([{"functionCall": {"id": "call_r_0", "name": "f", "args": {"a": "\""}}, "thoughtSignature": "Yw=="},
            {"functionCall": {"id": "call_r_1", "name": "g", "args": {}}}])
        );
        assert_eq!(
            steps[3],
            json!({"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12}, "modelVersion": "m", "responseId": "r1"})
        );
        assert_eq!(steps.len(), 4);
    }
    assert!(!through(Reader::default(), &STREAM[..3], Framing::Array).unwrap().1, "what is cut is not complete");
    let after = r#"{"candidates":[{"content":{"parts":[{"text":"more"}]}}]}"#;
    assert_eq!(through(Reader::default(), &[STREAM[3], after], Framing::Array).err(), Some(Malformed));
}

#[test]
fn another_providers_call_is_written_whole_at_its_end() {
    let frames = [
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{\"a\""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"d","function":{"name":"g","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":\"x\"}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
    ];
    let (steps, _) = through(lethe_wire::openai::Reader::default(), &frames, Framing::Events).unwrap();
    assert_eq!(
        steps[0]["candidates"][0]["content"]["parts"],
        json!([{"functionCall": {"id": "c", "name": "f", "args": {"a": "x"}}},
        {"functionCall": {"id": "d", "name": "g", "args": {}}}])
    );
    assert_eq!(steps.len(), 2);
    let cut = [frames[0], r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#];
    assert_eq!(
        through(lethe_wire::openai::Reader::default(), &cut, Framing::Events).err(),
        Some(Malformed),
        "half a call is no call"
    );
    let limit = [frames[0], r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#];
    let (steps, _) = through(lethe_wire::openai::Reader::default(), &limit, Framing::Events).unwrap();
    assert_eq!((steps.len(), &steps[0]["candidates"][0]["finishReason"]), (1, &json!("MAX_TOKENS")));
}

#[test]
fn what_is_held_is_bounded_and_counted() {
    let (mut writer, mut out) = (Writer::new(identity(), WANTED, Framing::Events), ContentBuf::new());
    let event =
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}}]}"#;
    lethe_wire::openai::Reader::default()
        .read(b"", event.as_bytes(), &mut |event| writer.write(&event, &mut out).unwrap())
        .unwrap();
    let megabyte = "x".repeat(1 << 20);
    let piece = || lethe_wire::conversation::Str::of(&megabyte);
    for _ in 0..15 {
        writer.write(&Event::ToolArguments { index: 0, piece: piece() }, &mut out).unwrap();
    }
    assert!(writer.held() >= 15 << 20);
    assert_eq!(writer.write(&Event::ToolArguments { index: 0, piece: piece() }, &mut out), Err(Malformed));
}

/// A signature of any text comes back from a client that reads it as bytes.
#[test]
fn another_providers_signature_comes_back() {
    let frame = r#"{"choices":[{"index":0,"delta":{"content":"x"}}]}"#;
    let (mut writer, mut out) = (Writer::new(identity(), WANTED, Framing::Array), ContentBuf::new());
    lethe_wire::openai::Reader::default()
        .read(b"", frame.as_bytes(), &mut |event| writer.write(&event, &mut out).unwrap())
        .unwrap();
    let signature = lethe_wire::conversation::Str::of("gAAA_-!é");
    writer.write(&Event::ReasoningSignature { index: 0, signature }, &mut out).unwrap();
    writer.end(&mut out);
    let steps = responses(std::str::from_utf8(out.expose()).unwrap(), Framing::Array);
    let contents: Vec<&Value> = steps.iter().map(|step| &step["candidates"][0]["content"]).collect();
    let body = json!({"contents": contents}).to_string();
    let mut chat = ContentBuf::new();
    let to = Sending { model: "m", max_output_tokens: None };
    lethe_wire::openai::write_request(&read(&body).ok().unwrap(), &to, &mut chat).unwrap();
    let chat: Value = serde_json::from_slice(chat.expose()).unwrap();
    assert_eq!(chat["messages"][0]["reasoning_details"][0]["data"], "gAAA_-!é");
}

#[test]
fn an_error_in_the_middle_is_told_in_googles_form() {
    let mut said = String::new();
    let mut sink = |event: Event<'_>| {
        if let Event::Error { message } = event {
            said = message.plain().into_owned();
        }
    };
    let mut reader = Reader::default();
    reader.read(b"", br#"{"error":{"code":503,"message":"out of \"luck\"","status":"UNAVAILABLE"}}"#, &mut sink).unwrap();
    assert_eq!((said.as_str(), reader.is_complete()), ("out of \"luck\"", false));
    for framing in [Framing::Array, Framing::Events] {
        for begun in [false, true] {
            let (mut writer, mut out) = (Writer::new(identity(), WANTED, framing), ContentBuf::new());
            if begun {
                writer.write(&Event::Text(lethe_wire::conversation::Str::of("x")), &mut out).unwrap();
            }
            let message = lethe_wire::conversation::Str::of("no");
            writer.fail(&ErrorBody { status: 503, message, kind: ErrorType::Provider, param: None, code: "c" }, &mut out);
            let steps = responses(std::str::from_utf8(out.expose()).unwrap(), framing);
            assert_eq!(steps.last().unwrap()["error"]["status"], "UNAVAILABLE");
            assert_eq!(steps.len(), 1 + usize::from(begun));
        }
    }
}

#[test]
fn a_choice_of_one_function_is_that_function() {
    let body = r#"{"contents":[],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}}}"#;
    assert!(matches!(read(body).ok().unwrap().tool_choice, Some(ToolChoice::Function(name)) if name.raw() == "f"));
}

proptest! {
    #[test]
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200), which in 0usize..6, cut in 0usize..1500) {
        let _ = (read_request(&input), read_reply(&input), Reader::default().read(b"", &input, &mut |_| {}));
        let _ = (lethe_wire::gemini::read_count_request(&input), lethe_wire::gemini::read_count_reply(&input));
        for api in [Api::CountTokens, Api::EmbedContent, Api::GenerateContent] {
            let _ = inspect(&input, api);
        }
        let text = canonical()[which].to_string();
        let mut bytes = text.into_bytes();
        bytes.truncate(cut);
        let accepted = read_request(&bytes).is_ok();
        prop_assert!(!accepted || bytes.last() == Some(&b'}'), "a cut request was read");
        if let Some(byte) = bytes.get_mut(cut / 2) {
            *byte = b'1';
        }
        let _ = (read_request(&bytes), inspect(&bytes, Api::GenerateContent));
    }
}
