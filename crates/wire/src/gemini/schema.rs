//! A `Schema` (a subset of OpenAPI 3.0's, <https://ai.google.dev/api/caching#Schema>) as the JSON Schema that says the same.

use lethe_content::ContentBuf;

use super::fields::spelled;
use crate::conversation::Json;
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;
use crate::write::Writer;

/// Reads a `Schema` that stands in `field`.
pub(super) fn json_schema(value: &mut Cursor<'_>, field: &'static str) -> Result<Json<'static>, Refusal> {
    let mut out = ContentBuf::new();
    schema(value, &mut Writer::new(&mut out), field)?;
    let text = String::from_utf8(out.expose().to_vec()).unwrap_or_default();
    Ok(Json::checked(text)?)
}

fn schema(value: &mut Cursor<'_>, json: &mut Writer<'_>, field: &'static str) -> Result<(), Refusal> {
    if value.kind()? != Kind::Object {
        return Err(Refusal::WrongType(field, "an object with a Schema"));
    }
    json.try_object(|json| {
        let (mut kind, mut nullable, mut choices) = (None, false, None);
        value.object(|key, _, value| {
            if value.null()? {
                return Ok(());
            }
            let name = spelled(key.plain());
            match (name.as_ref(), value.kind()?) {
                ("type", Kind::String) => kind = Some(value.string()?.plain().to_ascii_lowercase()),
                ("nullable", Kind::Bool) => nullable = value.boolean()?,
                ("enum", Kind::Array) => {
                    let span = value.skip()?;
                    choices = Some(value.text(span));
                }
                ("properties" | "$defs" | "defs", Kind::Object) => {
                    json.key(if name == "properties" { "properties" } else { "$defs" }).try_object(|json| {
                        value.object(|key, _, value| {
                            json.key(key.raw());
                            schema(value, json, field)
                        })
                    })?;
                }
                ("items" | "additionalProperties", Kind::Object) => {
                    json.key(&name);
                    schema(value, json, field)?;
                }
                ("anyOf" | "oneOf" | "allOf" | "prefixItems", Kind::Array) => {
                    json.key(&name).try_array(|json| value.array(|item| schema(item, json, field)))?;
                }
                // 64-bit numbers are strings in the JSON of protocol buffers.
                ("minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties", Kind::String) => {
                    let count: u64 =
                        value.string()?.raw().parse().map_err(|_| Refusal::WrongType(field, "counts that are numbers"))?;
                    json.key(&name).number(count);
                }
                // In which order properties are written is no matter of their validity; JSON Schema has no word for it.
                ("propertyOrdering", Kind::Array) => value.skip().map(drop)?,
                _ => {
                    let other = Json::read(value)?;
                    json.key(key.raw()).json(&other);
                }
            }
            Ok::<(), Refusal>(())
        })?;
        let kind = kind.filter(|kind| kind != "type_unspecified");
        if nullable && kind.is_none() {
            return Err(Refusal::WrongType(field, "a `type` beside `nullable`"));
        }
        if let Some(kind) = kind {
            json.key("type");
            if nullable {
                json.array(|json| {
                    json.plain(&kind);
                    json.plain("null");
                });
            } else {
                json.plain(&kind);
            }
        }
        if let Some(choices) = choices {
            let open = choices.trim_end_matches(']');
            let comma = if open.trim_end() == "[" { "" } else { "," };
            let null = if nullable { [comma, "null"].concat() } else { String::new() };
            json.key("enum").json(&Json::checked([open, &null, "]"].concat())?);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use serde_json::{Value, json};

    use super::json_schema;
    use crate::json::Cursor;

    #[test]
    fn it_says_the_same() {
        let openapi = json!({"type": "OBJECT", "property_ordering": ["a"], "required": ["a"], "properties": {
            "type": {"type": "STRING", "enum": ["x", "]"], "nullable": true, "format": "enum"},
            "any_of": {"anyOf": [{"type": "NUMBER", "minimum": 1.5}, {"type": "ARRAY", "min_items": "2", "items": {"type": "INTEGER"}}]},
            "e\"": {"type": "TYPE_UNSPECIFIED", "description": "OBJECT"}}});
        let schema = json!({"type": "object", "required": ["a"], "properties": {
            "type": {"type": ["string", "null"], "enum": ["x", "]", null], "format": "enum"},
            "any_of": {"anyOf": [{"type": "number", "minimum": 1.5}, {"type": "array", "minItems": 2, "items": {"type": "integer"}}]},
            "e\"": {"description": "OBJECT"}}});
        let text = openapi.to_string();
        let written = json_schema(&mut Cursor::new(text.as_bytes()).unwrap(), "f").ok().unwrap();
        assert_eq!(serde_json::from_str::<Value>(written.raw()).unwrap(), schema);
        for bad in ["[]", r#"{"nullable":true}"#, r#"{"items":{"minItems":"x"}}"#, r#"{"properties":{"a":1}}"#] {
            assert!(json_schema(&mut Cursor::new(bad.as_bytes()).unwrap(), "f").is_err(), "{bad}");
        }
    }
}
