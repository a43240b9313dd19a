//! A function as OpenAI's format and those after it have one.

use lethe_wire::conversation::Tool;
use lethe_wire::write::Writer;

/// Writes a function. One without arguments has a schema of none: it must be there.
pub(crate) fn write_function(json: &mut Writer<'_>, tool: &Tool<'_>) {
    json.object(|json| {
        json.constant("type", "function");
        json.key("function").object(|json| {
            json.member("name", &tool.name);
            if let Some(description) = &tool.description {
                json.member("description", description);
            }
            match &tool.parameters {
                Some(schema) => json.key("parameters").json(schema),
                None => json.key("parameters").object(|json| json.constant("type", "object")),
            }
        });
    });
}
