//! What an answer repeats of its request.

use lethe_content::ContentBuf;

use super::value::{Fields, Value};
use crate::json::Kind;
use crate::refusal::Refusal;
use crate::write::Writer;

/// What an answer repeats of its request: the settings that each of its response objects must show, as members of that object. It is held
/// until the answer ends.
pub struct Echo {
    members: String,
}

impl Default for Echo {
    /// Settings of a request that says nothing of them.
    fn default() -> Self {
        Self::written(None)
    }
}

impl Echo {
    /// Takes the settings out of a request that [`super::read_request`] has read.
    ///
    /// # Errors
    /// [`Refusal`] for what is no request.
    pub fn of(body: &[u8]) -> Result<Self, Refusal> {
        let fields = Value::whole(body)?.fields().ok_or(Refusal::WrongType("body", "a JSON object"))?;
        Ok(Self::written(Some(fields)))
    }

    /// Nothing: for formats whose answers repeat nothing of their request.
    #[must_use]
    pub const fn none() -> Self {
        Self { members: String::new() }
    }

    /// The members, parted by commas.
    pub(super) fn members(&self) -> &str {
        &self.members
    }

    /// Bytes that are held.
    pub(super) const fn held(&self) -> usize {
        self.members.len()
    }

    fn written(mut asked: Option<Fields<'_>>) -> Self {
        let mut out = ContentBuf::new();
        let mut take = |name: &str| asked.as_mut()?.take(name);
        Writer::new(&mut out).object(|json| {
            for (name, kind, otherwise) in [
                ("frequency_penalty", Kind::Number, "0"),
                ("instructions", Kind::String, "null"),
                ("max_output_tokens", Kind::Number, "null"),
                ("max_tool_calls", Kind::Number, "null"),
                ("parallel_tool_calls", Kind::Bool, "true"),
                ("presence_penalty", Kind::Number, "0"),
                ("safety_identifier", Kind::String, "null"),
                ("temperature", Kind::Number, "1"),
                ("top_logprobs", Kind::Number, "0"),
                ("top_p", Kind::Number, "1"),
                ("truncation", Kind::String, "\"disabled\""),
            ] {
                or(json.key(name), take(name), kind, otherwise);
            }
            let choice = take("tool_choice");
            let kind = choice.map_or(Kind::String, Value::kind);
            or(json.key("tool_choice"), choice, kind, "\"auto\"");
            json.key("tools").array(|json| {
                take("tools").and_then(Value::list).unwrap_or_default().into_iter().for_each(|value| tool(json, value));
            });
            let mut text = take("text").and_then(Value::fields);
            let mut text = |name: &str| text.as_mut()?.take(name);
            json.key("text").object(|json| {
                format(json.key("format"), text("format").and_then(Value::fields));
                or(json.key("verbosity"), text("verbosity"), Kind::String, "\"medium\"");
            });
            let mut reasoning = take("reasoning").and_then(Value::fields);
            let mut reasoning = |name: &str| reasoning.as_mut()?.take(name);
            json.key("reasoning").object(|json| {
                or(json.key("effort"), reasoning("effort"), Kind::String, "null");
                or(json.key("summary"), reasoning("summary"), Kind::String, "null");
            });
        });
        let object = String::from_utf8(out.expose().to_vec()).unwrap_or_default();
        let members = object.strip_prefix('{').and_then(|object| object.strip_suffix('}')).unwrap_or_default();
        // A line break between two tokens of the request would end a line of the stream; inside of strings there is none.
        Self { members: members.replace(['\r', '\n'], " ") }
    }
}

/// Writes `value` as it is, if it is of this type, else `otherwise`.
fn or(json: &mut Writer<'_>, value: Option<Value<'_>>, kind: Kind, otherwise: &'static str) {
    match value.and_then(|value| value.json_of(kind)) {
        None => json.members(otherwise),
        Some(value) => json.json(&value),
    }
}

/// A function with all of its fields, or whatever else it is as it is.
fn tool(json: &mut Writer<'_>, value: Value<'_>) {
    let Some(mut tool) = value.fields() else { return };
    let is_function = tool.take("type").and_then(Value::string).is_some_and(|kind| kind.raw() == "function");
    if !is_function {
        if let Ok(value) = value.json() {
            json.json(&value);
        }
        return;
    }
    json.object(|json| {
        json.constant("type", "function");
        or(json.key("name"), tool.take("name"), Kind::String, "\"\"");
        or(json.key("description"), tool.take("description"), Kind::String, "null");
        or(json.key("parameters"), tool.take("parameters"), Kind::Object, "null");
        or(json.key("strict"), tool.take("strict"), Kind::Bool, "null");
    });
}

fn format(json: &mut Writer<'_>, asked: Option<Fields<'_>>) {
    let mut asked = asked;
    let mut take = |name: &str| asked.as_mut()?.take(name);
    let kind = take("type").and_then(Value::string);
    json.object(|json| match kind.as_ref().map(crate::conversation::Str::raw) {
        Some("json_object") => json.constant("type", "json_object"),
        Some("json_schema") => {
            json.constant("type", "json_schema");
            or(json.key("name"), take("name"), Kind::String, "\"\"");
            or(json.key("description"), take("description"), Kind::String, "null");
            or(json.key("schema"), take("schema"), Kind::Object, "{}");
            or(json.key("strict"), take("strict"), Kind::Bool, "false");
        }
        _ => json.constant("type", "text"),
    });
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use serde_json::{Value, json};

    use super::Echo;

    fn shown(echo: &Echo) -> Value {
        serde_json::from_str(&format!("{{{}}}", echo.members())).unwrap()
    }

    #[test]
    fn what_was_asked_is_repeated_in_full() {
        let body = "{\"input\":\"x\",\r\n \"tools\":[{\"type\":\"function\",\n\"name\":\"f\",\"parameters\":{\n}},{\"type\":\"custom\",\"name\":\"c\"}],
            \"tool_choice\":{\"type\":\"function\",\"name\":\"f\"},\"temperature\":0.5,\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{}}},
            \"reasoning\":{\"effort\":\"low\"},\"instructions\":\"a\\nb\",\"parallel_tool_calls\":false,\"max_output_tokens\":null}";
        let echo = Echo::of(body.as_bytes()).unwrap();
        assert!(!echo.members().contains(['\n', '\r']));
        let shown = shown(&echo);
        let function = json!({"type": "function", "name": "f", "description": null, "parameters": {}, "strict": null});
        assert_eq!(shown["tools"], json!([function, {"type": "custom", "name": "c"}]));
        assert_eq!(shown["tool_choice"], json!({"type": "function", "name": "f"}));
        let format = json!({"type": "json_schema", "name": "n", "description": null, "schema": {}, "strict": false});
        assert_eq!(shown["text"], json!({"format": format, "verbosity": "medium"}));
        assert_eq!(shown["reasoning"], json!({"effort": "low", "summary": null}));
        assert_eq!((&shown["temperature"], &shown["instructions"]), (&json!(0.5), &json!("a\nb")));
        assert_eq!((&shown["parallel_tool_calls"], &shown["max_output_tokens"]), (&json!(false), &Value::Null));
        assert_eq!(echo.held(), echo.members().len());
    }

    #[test]
    fn what_was_not_asked_is_its_default() {
        let shown = shown(&Echo::default());
        assert_eq!(
            (&shown["tools"], &shown["tool_choice"], &shown["truncation"]),
            (&json!([]), &json!("auto"), &json!("disabled"))
        );
        assert_eq!(shown["text"]["format"], json!({"type": "text"}));
    }
}
