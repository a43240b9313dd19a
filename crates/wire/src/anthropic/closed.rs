//! Schemas of an answer's form: this API takes only those whose objects say that nothing else is in them
//! (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>). Other formats leave it open; an answer without more fits them all the same.

use crate::conversation::Json;
use crate::json::{Cursor, JsonError, Kind};

/// The schema with `additionalProperties: false` in every object of it that says nothing about them.
pub(super) fn closed(schema: &Json<'_>) -> Result<Json<'static>, JsonError> {
    let mut out = String::with_capacity(schema.raw().len() + 64);
    self::schema(&mut schema.cursor()?, &mut out)?;
    Json::checked(out)
}

fn schema(value: &mut Cursor<'_>, out: &mut String) -> Result<(), JsonError> {
    if value.kind()? != Kind::Object {
        return copied(value, out);
    }
    let (mut is_object, mut says, mut count) = (false, false, 0);
    out.push('{');
    value.object(|key, _, value| {
        if count > 0 {
            out.push(',');
        }
        count += 1;
        out.extend(["\"", key.raw(), "\":"]);
        match (key.raw(), value.kind()?) {
            ("properties", Kind::Object) => {
                is_object = true;
                named(value, out)
            }
            ("$defs" | "definitions" | "patternProperties", Kind::Object) => named(value, out),
            // What stands in `allOf` holds together: closed one by one, nothing would fit.
            ("anyOf" | "oneOf" | "prefixItems", Kind::Array) => {
                out.push('[');
                let mut first = true;
                value.array(|item| {
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    schema(item, out)
                })?;
                out.push(']');
                Ok(())
            }
            ("items", Kind::Object) => schema(value, out),
            ("allOf" | "additionalProperties", _) => {
                says = true;
                copied(value, out)
            }
            ("type", Kind::String) => {
                let text = value.string()?;
                is_object |= text.is("object");
                out.extend(["\"", text.raw(), "\""]);
                Ok(())
            }
            _ => copied(value, out),
        }
    })?;
    if is_object && !says {
        out.push_str(if count > 0 { ",\"additionalProperties\":false" } else { "\"additionalProperties\":false" });
    }
    out.push('}');
    Ok(())
}

/// An object of schemas by name.
fn named(value: &mut Cursor<'_>, out: &mut String) -> Result<(), JsonError> {
    let mut first = true;
    out.push('{');
    value.object(|key, _, value| {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        out.extend(["\"", key.raw(), "\":"]);
        schema(value, out)
    })?;
    out.push('}');
    Ok(())
}

fn copied(value: &mut Cursor<'_>, out: &mut String) -> Result<(), JsonError> {
    let span = value.skip()?;
    out.push_str(value.text(span));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use serde_json::json;

    use super::closed;
    use crate::conversation::Json;

    #[test]
    fn every_object_is_closed_that_says_nothing_else() {
        let open = json!({
            "type": "object",
            "properties": {
                "a\n": {"type": "array", "items": {"type": "object", "properties": {"type": {"type": "string"}}}},
                "b": {"anyOf": [{"type": "object"}, {"type": "null"}]},
                "c": {"type": "object", "additionalProperties": {"type": "string"}},
                "d": {"allOf": [{"type": "object", "properties": {}}], "type": "object"},
            },
            "$defs": {"e": {"properties": {}}},
            "enum": [{"type": "object"}],
        });
        let mut wanted = open.clone();
        for place in ["", "/properties/a\n/items", "/properties/b/anyOf/0", "/$defs/e"] {
            wanted.pointer_mut(place).unwrap()["additionalProperties"] = json!(false);
        }
        let found = closed(&Json::checked(open.to_string()).ok().unwrap()).ok().unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(found.raw()).unwrap(), wanted);
    }
}
