//! What requests to responses look like to who only passes them on, and what they conflict with inside of fields.

use lethe_policy::conflict::{self, Conflict};
use lethe_types::Api;

use crate::inspect::{Seen, Shape};
use crate::json::{Cursor, Kind};
use crate::refusal::Refusal;

/// `POST /v1/responses`
pub(crate) struct ResponsesShape;

pub(super) const FILE_REFERENCE: Conflict = Conflict {
    field: "input.content.file_id",
    instead: "it points to a stored file; send the content inline, in `image_url` or `file_data`",
};
pub(super) const ITEM_REFERENCE: Conflict =
    Conflict { field: "input.item_reference", instead: "it points to a stored item; send the item itself" };
pub(super) const REMOTE_FILE: Conflict = Conflict {
    field: "input.content.file_url",
    instead: "files behind URLs are never fetched, since the one who serves them would see and keep the request; send `file_data`",
};
pub(super) const REMOTE_IMAGE: Conflict = Conflict {
    field: "input.content.image_url",
    instead: "media behind URLs are never fetched, since the one who serves them would see and keep the request; send a `data:` URL",
};
pub(super) const CACHE_BREAKPOINT: Conflict = Conflict {
    field: "input.content.prompt_cache_breakpoint",
    instead: "it keeps what stands before it in a cache; leave it out",
};

impl Shape for ResponsesShape {
    fn required(&self) -> &'static [&'static str] {
        &["input"]
    }

    fn prompt(&self) -> &'static [&'static str] {
        &["input", "instructions"]
    }

    fn conflict(&self, folded: &str) -> Option<Conflict> {
        conflict::field(Api::Responses, folded)
    }

    fn look(&self, seen: &mut Seen, folded: &str, kind: Kind, value: &mut Cursor<'_>) -> Result<(), Refusal> {
        match (folded, kind) {
            ("input", Kind::Array) => value.array(item),
            ("input", Kind::String) => Ok(value.skip().map(drop)?),
            ("input", _) => Err(Refusal::WrongType("input", "a string or an array")),
            ("include", Kind::Array | Kind::Null) => Ok(value.skip().map(drop)?),
            ("include", _) => Err(Refusal::WrongType("include", "an array of strings")),
            ("tools", Kind::Array) => seen.tool_types(value, None),
            ("tools", Kind::Null) => Ok(value.skip().map(drop)?),
            ("tools", _) => Err(Refusal::WrongType("tools", "an array of objects")),
            ("safety_identifier", Kind::String) => {
                let start = value.offset();
                value.string()?;
                seen.user = Some(start..value.offset_of_last());
                Ok(())
            }
            _ => Ok(value.skip().map(drop)?),
        }
    }
}

/// An item of `input`. One without a type is a message if it has a role, else a reference.
fn item(item: &mut Cursor<'_>) -> Result<(), Refusal> {
    if item.kind()? != Kind::Object {
        return Err(Refusal::WrongType("input", "a string or an array of objects"));
    }
    let (mut has_type, mut has_role) = (false, false);
    item.object(|key, _, value| match (key.folded().as_ref(), value.kind()?) {
        ("type", Kind::String) => {
            has_type = true;
            match value.string()?.folded().as_ref() {
                "item_reference" => Err(Refusal::Conflict(ITEM_REFERENCE)),
                _ => Ok(()),
            }
        }
        ("role", Kind::String) => {
            has_role = true;
            value.string().map(drop).map_err(Refusal::from)
        }
        ("content", Kind::Array) => value.array(part),
        // What a tool returned: the content of a function, a computer's picture (one object).
        ("output", Kind::Array) => value.array(part),
        ("output", Kind::Object) => part(value),
        _ => value.skip().map(drop).map_err(Refusal::from),
    })?;
    if has_type || has_role { Ok(()) } else { Err(Refusal::Conflict(ITEM_REFERENCE)) }
}

fn part(part: &mut Cursor<'_>) -> Result<(), Refusal> {
    if part.kind()? != Kind::Object {
        return part.skip().map(drop).map_err(Refusal::from);
    }
    part.object(|key, _, value| match (key.folded().as_ref(), value.kind()?) {
        (_, Kind::Null) => value.skip().map(drop).map_err(Refusal::from),
        ("file_id", _) => Err(Refusal::Conflict(FILE_REFERENCE)),
        ("file_url", _) => Err(Refusal::Conflict(REMOTE_FILE)),
        ("prompt_cache_breakpoint", _) => Err(Refusal::Conflict(CACHE_BREAKPOINT)),
        ("image_url", Kind::String) => inline(value, REMOTE_IMAGE),
        // Chat completions' form, which some servers take here too.
        ("image_url", Kind::Object) => value.object(|key, _, value| match (key.folded().as_ref(), value.kind()?) {
            ("url", Kind::String) => inline(value, REMOTE_IMAGE),
            _ => value.skip().map(drop).map_err(Refusal::from),
        }),
        ("video_url", Kind::String) => inline(value, Conflict { field: "input.content.video_url", ..REMOTE_IMAGE }),
        _ => value.skip().map(drop).map_err(Refusal::from),
    })
}

/// Takes a URL that is `data:` and refuses every other one.
fn inline(value: &mut Cursor<'_>, conflict: Conflict) -> Result<(), Refusal> {
    // An escaped scheme (`\u0064ata:`) is nobody's habit: only the plain one passes.
    let inline = value.string()?.raw().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if inline { Ok(()) } else { Err(Refusal::Conflict(conflict)) }
}

#[cfg(test)]
mod tests {
    use lethe_policy::{ApiRules, ProviderKind};
    use lethe_types::Api;

    use crate::inspect::inspect;
    use crate::refusal::Refusal;

    fn refused(members: &str) -> Option<Refusal> {
        inspect(format!(r#"{{"model":"m",{members}}}"#).as_bytes(), Api::Responses).err()
    }

    fn conflict(members: &str) -> Option<&'static str> {
        match refused(members) {
            Some(Refusal::Conflict(conflict)) => Some(conflict.field),
            _ => None,
        }
    }

    #[test]
    fn what_needs_memory_is_refused() {
        for (member, field) in [
            (r#""store":true"#, "store"),
            (r#""STORE":true"#, "store"),
            (r#""previous_response_id":"resp_1""#, "previous_response_id"),
            (r#""conversation":"conv_1""#, "conversation"),
            (r#""conversation":{"id":"conv_1"}"#, "conversation"),
            (r#""background":true"#, "background"),
            (r#""prompt":{"id":"pmpt_1"}"#, "prompt"),
            (r#""metadata":{}"#, "metadata"),
            (r#""prompt_cache_key":"k""#, "prompt_cache_key"),
        ] {
            assert_eq!(conflict(&format!(r#""input":"x",{member}"#)), Some(field), "{member}");
        }
        let item = |item: &str| conflict(&format!(r#""input":[{item}]"#));
        for (reference, field) in [
            (r#"{"type":"item_reference","id":"msg_1"}"#, "input.item_reference"),
            (r#"{"type":"Item_Reference","id":"msg_1"}"#, "input.item_reference"),
            (r#"{"id":"msg_1"}"#, "input.item_reference"),
            (r#"{"type":null,"id":"msg_1"}"#, "input.item_reference"),
            (r#"{"role":"user","content":[{"type":"input_image","file_id":"f"}]}"#, "input.content.file_id"),
            (r#"{"role":"user","content":[{"type":"input_file","FILE_\u0049D":"f"}]}"#, "input.content.file_id"),
            (r#"{"role":"user","content":[{"type":"input_file","file_url":"https://a/b.pdf"}]}"#, "input.content.file_url"),
            (r#"{"role":"user","content":[{"type":"input_image","image_url":"https://a/b.png"}]}"#, "input.content.image_url"),
            (r#"{"role":"user","content":[{"type":"input_image","image_url":{"url":"http://a"}}]}"#, "input.content.image_url"),
            (
                r#"{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"https://a"}]}"#,
                "input.content.image_url",
            ),
            (r#"{"type":"computer_call_output","call_id":"c","output":{"file_id":"f"}}"#, "input.content.file_id"),
            (
                r#"{"role":"user","content":[{"type":"input_text","text":"a","prompt_cache_breakpoint":{"mode":"explicit"}}]}"#,
                "input.content.prompt_cache_breakpoint",
            ),
        ] {
            assert_eq!(item(reference), Some(field), "{reference}");
        }
        for fine in [
            r#"{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,AA","file_id":null}]}"#,
            r#"{"role":"user","content":"https://a/b.png"}"#,
            r#"{"type":"function_call_output","call_id":"c","output":"file_id"}"#,
        ] {
            assert_eq!(refused(&format!(r#""input":[{fine}],"store":false,"truncation":"auto","stream":true"#)), None, "{fine}");
        }
    }

    #[test]
    fn wrong_types_are_named() {
        for (members, field) in [
            (r#""input":7"#, "input"),
            (r#""input":["x"]"#, "input"),
            (r#""input":"x","tools":{}"#, "tools"),
            (r#""input":"x","include":"all""#, "include"),
        ] {
            assert!(matches!(refused(members), Some(Refusal::WrongType(named, _)) if named == field), "{members}");
        }
        assert_eq!(refused(r#""instructions":"x""#), Some(Refusal::MissingField("input")));
    }

    #[test]
    fn only_listed_tools_pass() {
        let mut rules = ApiRules::plain(Api::Responses);
        rules.fields = ["model", "input", "tools"].map(String::from).into();
        rules.tool_types = ["function", "custom"].map(String::from).into();
        let check = |tool: &str| {
            let body = format!(r#"{{"model":"m","input":"x","tools":[{{"type":"{tool}","name":"f"}}]}}"#);
            inspect(body.as_bytes(), Api::Responses).and_then(|request| request.check(ProviderKind::Hosted, &rules))
        };
        assert_eq!((check("function"), check("custom")), (Ok(()), Ok(())));
        for tool in ["web_search", "file_search", "code_interpreter", "mcp", "computer", "image_generation"] {
            assert!(matches!(check(tool), Err(Refusal::UnknownTool(name)) if name.as_str() == tool), "{tool}");
        }
    }
}
