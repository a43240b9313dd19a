//! Checks a request's body against the fields of a public API reference: a field that is not there, a type that is not the one
//! documented, and a required field that is missing are faults, at any depth. So a wrong translation is a 400.

use serde_json::Value;

/// What a value may be.
pub(super) enum Shape {
    /// Anything: what is not looked into.
    Any,
    Bool,
    Int,
    Number,
    Text,
    /// An object of the caller's own, such as a JSON schema.
    Object,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// This, or null.
    Nullable(&'static Self),
    List(&'static Self),
    /// An object with values like this under names of the caller's own.
    Map(&'static Self),
    /// An object with these fields and no others.
    Fields(&'static [Field]),
    /// An object with exactly one of these fields.
    One(&'static [Field]),
    /// An object whose fields depend on one of them.
    Tagged(&'static str, &'static [(&'static str, &'static [Field])]),
    /// The first of these that is of the value's JSON type.
    Either(&'static [Self]),
}

/// One field of an object.
pub(super) struct Field {
    name: &'static str,
    needed: bool,
    shape: Shape,
}

/// A field that has to be there.
pub(super) const fn must(name: &'static str, shape: Shape) -> Field {
    Field { name, needed: true, shape }
}

/// A field that may be there.
pub(super) const fn may(name: &'static str, shape: Shape) -> Field {
    Field { name, needed: false, shape }
}

/// Where a body is not what it should be, and how.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    path: Vec<String>,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    Missing,
    Type,
    Unknown,
    Value,
}

impl Fault {
    /// `messages[0].content`
    pub(super) fn brackets(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            if step.parse::<usize>().is_ok() {
                text += &format!("[{step}]");
            } else if text.is_empty() {
                text += step;
            } else {
                text += &format!(".{step}");
            }
        }
        text
    }

    /// `messages.0.content`
    pub(super) fn dots(&self) -> String {
        self.path.join(".")
    }

    /// The last step.
    pub(super) fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    pub(super) fn under(mut self, step: impl ToString) -> Self {
        self.path.insert(0, step.to_string());
        self
    }
}

fn fault(what: What) -> Fault {
    Fault { path: Vec::new(), what }
}

/// The first fault, if there is one.
pub(super) fn check(shape: &Shape, value: &Value) -> Result<(), Fault> {
    match shape {
        Shape::Any => Ok(()),
        Shape::Nullable(_) if value.is_null() => Ok(()),
        Shape::Nullable(shape) => check(shape, value),
        Shape::Either(shapes) => {
            let shape = shapes.iter().find(|shape| is_of_type(shape, value)).ok_or_else(|| fault(What::Type))?;
            check(shape, value)
        }
        shape if !is_of_type(shape, value) => Err(fault(What::Type)),
        Shape::Word(words) if !words.iter().any(|word| value == word) => Err(fault(What::Value)),
        Shape::List(shape) => {
            let mut each = value.as_array().into_iter().flatten().enumerate();
            each.try_for_each(|(index, value)| check(shape, value).map_err(|fault| fault.under(index)))
        }
        Shape::Map(shape) => {
            let mut each = value.as_object().into_iter().flatten();
            each.try_for_each(|(name, value)| check(shape, value).map_err(|fault| fault.under(name)))
        }
        Shape::Fields(fields) => check_fields(fields, value),
        Shape::One(fields) => {
            check_fields(fields, value)?;
            if value.as_object().is_some_and(|object| object.len() == 1) { Ok(()) } else { Err(fault(What::Value)) }
        }
        Shape::Tagged(tag, kinds) => {
            let found = value.get(tag).ok_or_else(|| fault(What::Missing).under(tag))?;
            let kind = kinds.iter().find(|(name, _)| found == name).ok_or_else(|| fault(What::Value).under(tag))?;
            let others = value.as_object().into_iter().flatten().filter(|(name, _)| name != tag);
            check_fields(kind.1, &others.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        _ => Ok(()),
    }
}

fn check_fields(fields: &[Field], value: &Value) -> Result<(), Fault> {
    for (name, value) in value.as_object().into_iter().flatten() {
        let field = fields.iter().find(|field| field.name == name).ok_or_else(|| fault(What::Unknown).under(name))?;
        check(&field.shape, value).map_err(|fault| fault.under(name))?;
    }
    match fields.iter().find(|field| field.needed && value.get(field.name).is_none()) {
        Some(field) => Err(fault(What::Missing).under(field.name)),
        None => Ok(()),
    }
}

fn is_of_type(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::Any => true,
        Shape::Bool => value.is_boolean(),
        Shape::Int => value.is_i64() || value.is_u64(),
        Shape::Number => value.is_number(),
        Shape::Text | Shape::Word(_) => value.is_string(),
        Shape::Object | Shape::Map(_) | Shape::Fields(_) | Shape::One(_) | Shape::Tagged(..) => value.is_object(),
        Shape::Nullable(shape) => value.is_null() || is_of_type(shape, value),
        Shape::List(_) => value.is_array(),
        Shape::Either(shapes) => shapes.iter().any(|shape| is_of_type(shape, value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Shape, What, check, may, must};

    const BODY: Shape = Shape::Fields(&[
        must("model", Shape::Text),
        may("stop", Shape::Nullable(&Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)]))),
        may("parts", Shape::List(&Shape::Tagged("type", &[("text", &[must("text", Shape::Text)]), ("none", &[])]))),
        may("effort", Shape::Word(&["low", "high"])),
    ]);

    #[test]
    fn a_fault_is_found_at_any_depth_and_what_is_documented_is_taken() {
        let good =
            json!({"model": "m", "stop": ["a"], "parts": [{"type": "text", "text": "a"}, {"type": "none"}], "effort": "low"});
        assert_eq!(check(&BODY, &good), Ok(()));
        let with = |name: &str, value: Value| {
            let mut body = good.clone();
            body[name] = value;
            let fault = check(&BODY, &body).expect_err("a fault");
            (fault.brackets(), fault.what)
        };
        assert_eq!(with("other", json!(1)), ("other".into(), What::Unknown));
        assert_eq!(with("model", json!(1)), ("model".into(), What::Type));
        assert_eq!(with("stop", json!([1])), ("stop[0]".into(), What::Type));
        assert_eq!(with("stop", json!({})), ("stop".into(), What::Type));
        assert_eq!(with("effort", json!("none")), ("effort".into(), What::Value));
        assert_eq!(with("parts", json!([{"type": "text"}])), ("parts[0].text".into(), What::Missing));
        assert_eq!(with("parts", json!([{"type": "none", "text": "a"}])), ("parts[0].text".into(), What::Unknown));
        assert_eq!(with("parts", json!([{"type": "audio"}])), ("parts[0].type".into(), What::Value));
        assert_eq!(check(&BODY, &json!({})).expect_err("a fault").what, What::Missing);
        assert_eq!(check(&BODY, &json!([])).expect_err("a fault").what, What::Type);
    }
}
