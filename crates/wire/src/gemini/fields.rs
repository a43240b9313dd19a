//! Objects in the JSON of protocol buffers (<https://protobuf.dev/programming-guides/json/>), read strictly.

use std::borrow::Cow;

use crate::conversation::{Json, Str};
use crate::json::{Cursor, Kind};
use crate::refusal::{FieldName, Refusal};

/// A field's name as the reference spells it: `generation_config` is `generationConfig`.
pub(crate) fn spelled(name: Cow<'_, str>) -> Cow<'_, str> {
    if !name.contains('_') {
        return name;
    }
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for char in name.chars() {
        match char {
            '_' => upper = true,
            char if upper => {
                camel.push(char.to_ascii_uppercase());
                upper = false;
            }
            char => camel.push(char),
        }
    }
    camel.into()
}

/// Reads an object whose documented name is `parent` (empty for the body itself). `field` gets each name as the reference spells it with this
/// cursor at its value, which is not `null`, and says whether it knows the name.
///
/// # Errors
/// [`Refusal`] for what is no object, a field in two spellings, and a name that `field` does not know.
pub(crate) fn fields<'a>(
    value: &mut Cursor<'a>,
    parent: &'static str,
    mut field: impl FnMut(&str, &mut Cursor<'a>) -> Result<bool, Refusal>,
) -> Result<(), Refusal> {
    if value.kind()? != Kind::Object {
        return Err(Refusal::WrongType(if parent.is_empty() { "body" } else { parent }, "an object"));
    }
    let shown = |name: &str| FieldName::new(&[parent, if parent.is_empty() { "" } else { "." }, name].concat());
    let mut names: Vec<Cow<'a, str>> = Vec::new();
    value.object(|key, _, value| {
        let name = spelled(key.plain());
        if names.contains(&name) {
            return Err(Refusal::DuplicateField(shown(&name)));
        }
        let known = value.null()? || field(&name, value)?;
        if !known {
            return Err(Refusal::UntranslatableUnknown(shown(&key.plain())));
        }
        names.push(name);
        Ok(())
    })
}

/// Reads an array, or one value that stands for an array of it.
pub(crate) fn each<'a>(
    value: &mut Cursor<'a>,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    if value.kind()? == Kind::Array { value.array(item) } else { item(value) }
}

pub(crate) fn string<'a>(value: &mut Cursor<'a>, field: &'static str) -> Result<Str<'a>, Refusal> {
    if value.kind()? != Kind::String {
        return Err(Refusal::WrongType(field, "a string"));
    }
    Ok(value.string()?.into())
}

pub(crate) fn count(value: &mut Cursor<'_>, field: &'static str) -> Result<u64, Refusal> {
    value.count().map_err(|_| Refusal::WrongType(field, "a whole number"))
}

pub(super) fn boolean(value: &mut Cursor<'_>, field: &'static str) -> Result<bool, Refusal> {
    if value.kind()? != Kind::Bool {
        return Err(Refusal::WrongType(field, "true or false"));
    }
    Ok(value.boolean()?)
}

pub(super) fn number<'a>(value: &mut Cursor<'a>, field: &'static str) -> Result<Json<'a>, Refusal> {
    if value.kind()? != Kind::Number {
        return Err(Refusal::WrongType(field, "a number"));
    }
    Ok(Json::read(value)?)
}

pub(super) fn object<'a>(value: &mut Cursor<'a>, field: &'static str) -> Result<Json<'a>, Refusal> {
    if value.kind()? != Kind::Object {
        return Err(Refusal::WrongType(field, "an object"));
    }
    Ok(Json::read(value)?)
}

#[cfg(test)]
mod tests {
    use super::{fields, spelled};
    use crate::json::Cursor;
    use crate::refusal::Refusal;

    #[test]
    fn both_spellings_are_one_name() {
        for (name, camel) in
            [("top_p", "topP"), ("topP", "topP"), ("function_calling_config", "functionCallingConfig"), ("a", "a")]
        {
            assert_eq!(spelled(name.into()), camel);
        }
        let read = |body: &str| {
            Cursor::new(body.as_bytes()).map_err(Refusal::from).and_then(|mut cursor| {
                fields(&mut cursor, "a", |name, value| {
                    value.skip()?;
                    Ok(name == "topP")
                })
            })
        };
        assert_eq!(read(r#"{"top_p":1}"#), Ok(()));
        assert_eq!(read(r#"{"topP":null}"#), Ok(()));
        assert!(matches!(read(r#"{"top_p":1,"topP":1}"#), Err(Refusal::DuplicateField(name)) if name.as_str() == "a.topP"));
        assert!(matches!(read(r#"{"x_y":1}"#), Err(Refusal::UntranslatableUnknown(name)) if name.as_str() == "a.x_y"));
        assert_eq!(read("[]"), Err(Refusal::WrongType("a", "an object")));
    }
}
