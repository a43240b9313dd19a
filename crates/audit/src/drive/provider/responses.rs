//! OpenAI's Responses interface (<https://platform.openai.com/docs/api-reference/responses> and `…/responses-streaming`), field by
//! field: the response object with its reasoning, message and function call items, and the events of a stream.

use serde_json::{Value, json};

use super::Asked;
use super::answer::Reply;
use super::scene::Script;

const CREATED: u64 = 1_764_000_000;

/// The good answer; none for another path.
pub(super) fn reply(asked: &Asked, script: &Script) -> Option<Reply> {
    if !asked.path.ends_with("/responses") {
        return None;
    }
    Some(if asked.body["stream"] == true {
        events(asked, script)
    } else {
        Reply::json(&response(asked, "completed", &items(asked, script)))
    })
}

fn items(asked: &Asked, script: &Script) -> Vec<Value> {
    let mut items = Vec::new();
    if !script.reasoning.is_empty() {
        items.push(json!({"id": format!("rs_audit{}", asked.number), "type": "reasoning", "status": "completed",
            "summary": [{"type": "summary_text", "text": script.reasoning}]}));
    }
    if !script.arguments.is_empty() {
        let name = asked.body["tools"][0]["name"].as_str().unwrap_or("look_up");
        items.push(json!({"id": format!("fc_audit{}", asked.number), "type": "function_call", "status": "completed",
            "call_id": format!("call_{}", asked.number), "name": name, "arguments": json!({"place": script.arguments}).to_string()}));
    }
    if !script.text.is_empty() || items.is_empty() {
        items.push(message(
            asked,
            "completed",
            &json!([{"type": "output_text", "text": script.text, "annotations": [], "logprobs": []}]),
        ));
    }
    items
}

fn message(asked: &Asked, status: &str, content: &Value) -> Value {
    json!({"id": format!("msg_audit{}", asked.number), "type": "message", "status": status, "role": "assistant", "content": content})
}

fn response(asked: &Asked, status: &str, output: &[Value]) -> Value {
    let usage = if status == "completed" {
        json!({"input_tokens": 19, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 24,
            "output_tokens_details": {"reasoning_tokens": 8}, "total_tokens": 43})
    } else {
        Value::Null
    };
    json!({"id": format!("resp_audit{}", asked.number), "object": "response", "created_at": CREATED, "status": status, "background": false,
        "error": null, "incomplete_details": null, "instructions": asked.body["instructions"], "max_output_tokens": null,
        "model": asked.body["model"], "output": output, "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null}, "service_tier": "default", "store": asked.body["store"], "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0, "truncation": "disabled",
        "usage": usage, "user": null, "metadata": {}})
}

fn events(asked: &Asked, script: &Script) -> Reply {
    let items = items(asked, script);
    let mut events = Vec::new();
    let mut push = |kind: &str, mut data: Value| {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(events.len());
        events.push(format!("event: {kind}\ndata: {data}\n\n"));
        events.len() - 1
    };
    push("response.created", json!({"response": response(asked, "in_progress", &[])}));
    push("response.in_progress", json!({"response": response(asked, "in_progress", &[])}));
    let mut told = None;
    for (index, item) in items.iter().enumerate() {
        let id = item["id"].clone();
        match item["type"].as_str() {
            Some("message") => {
                let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
                push(
                    "response.output_item.added",
                    json!({"output_index": index, "item": message(asked, "in_progress", &json!([]))}),
                );
                push(
                    "response.content_part.added",
                    json!({"item_id": id, "output_index": index, "content_index": 0, "part": part("")}),
                );
                let at = push(
                    "response.output_text.delta",
                    json!({"item_id": id, "output_index": index, "content_index": 0, "delta": script.text, "logprobs": []}),
                );
                told.get_or_insert(at);
                push(
                    "response.output_text.done",
                    json!({"item_id": id, "output_index": index, "content_index": 0, "text": script.text, "logprobs": []}),
                );
                push(
                    "response.content_part.done",
                    json!({"item_id": id, "output_index": index, "content_index": 0, "part": part(&script.text)}),
                );
            }
            Some("function_call") => {
                let mut begun = item.clone();
                begun["arguments"] = json!("");
                push("response.output_item.added", json!({"output_index": index, "item": begun}));
                let at = push(
                    "response.function_call_arguments.delta",
                    json!({"item_id": id, "output_index": index, "delta": item["arguments"]}),
                );
                told.get_or_insert(at);
                push(
                    "response.function_call_arguments.done",
                    json!({"item_id": id, "output_index": index, "arguments": item["arguments"]}),
                );
            }
            _ => {
                push(
                    "response.output_item.added",
                    json!({"output_index": index, "item": {"id": id, "type": "reasoning", "summary": []}}),
                );
                let at = push(
                    "response.reasoning_summary_text.delta",
                    json!({"item_id": id, "output_index": index, "summary_index": 0, "delta": script.reasoning}),
                );
                told.get_or_insert(at);
            }
        }
        push("response.output_item.done", json!({"output_index": index, "item": item}));
    }
    push("response.completed", json!({"response": response(asked, "completed", &items)}));
    Reply::events(events, told.unwrap_or(1))
}
