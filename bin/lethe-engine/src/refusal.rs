//! Why a request was not served: codes and positions, never a word of what was sent.

/// Where in a request a value stands: `messages[3].content[1].type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name at the top level.
    pub name: &'static str,
    /// Which element of it.
    pub index: Option<usize>,
    /// Name within the element.
    pub member: Option<&'static str>,
    /// Which element of the member.
    pub part: Option<usize>,
    /// Name within the part.
    pub leaf: Option<&'static str>,
}

impl Field {
    /// A field at the top level.
    #[must_use]
    pub const fn top(name: &'static str) -> Self {
        Self { name, index: None, member: None, part: None, leaf: None }
    }

    /// Element `index` of this field.
    #[must_use]
    pub const fn at(self, index: usize) -> Self {
        match self.member {
            None => Self { index: Some(index), ..self },
            Some(_) => Self { part: Some(index), ..self },
        }
    }

    /// Member `name` of this field.
    #[must_use]
    pub const fn member(self, name: &'static str) -> Self {
        match self.member {
            None => Self { member: Some(name), ..self },
            Some(_) => Self { leaf: Some(name), ..self },
        }
    }

    /// The field as OpenAI writes it in `param`.
    #[must_use]
    pub fn path(self) -> String {
        let mut path = self.name.to_owned();
        for (index, member) in [(self.index, self.member), (self.part, self.leaf)] {
            path.extend(index.map(|index| format!("[{index}]")));
            path.extend(member.map(|member| format!(".{member}")));
        }
        path
    }
}

/// Why a request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The body is longer than the engine takes.
    BodyTooLarge,
    /// As many requests wait as may wait.
    Busy,
    /// The prompt has more tokens than fit.
    ContextExceeded {
        /// Tokens that fit, prompt and answer together.
        limit: usize,
        /// Tokens of the prompt.
        prompt: usize,
    },
    /// The engine failed.
    Internal,
    /// The body is no JSON object of the expected form; where, as the parser counts.
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Another method is needed here.
    Method,
    /// A field that must be there is not.
    Missing(Field),
    /// This engine has another model.
    NoSuchModel,
    /// Nothing is served under this path.
    NotFound,
    /// A number or list is outside of what is allowed.
    OutOfRange(Field),
    /// The model cannot do this.
    Unsupported(Field),
    /// A value is of another type than it must be.
    WrongType(Field),
}

impl Refusal {
    /// HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NoSuchModel | Self::NotFound => 404,
            Self::Method => 405,
            Self::BodyTooLarge => 413,
            Self::Internal => 500,
            Self::Busy => 503,
            Self::ContextExceeded { .. }
            | Self::Malformed { .. }
            | Self::Missing(_)
            | Self::OutOfRange(_)
            | Self::Unsupported(_)
            | Self::WrongType(_) => 400,
        }
    }

    /// OpenAI's `type`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Busy | Self::Internal => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// OpenAI's `code`.
    #[must_use]
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Self::BodyTooLarge => Some("request_too_large"),
            Self::Busy => Some("overloaded"),
            Self::ContextExceeded { .. } => Some("context_length_exceeded"),
            Self::Internal => Some("internal_error"),
            Self::Malformed { .. } => Some("invalid_json"),
            Self::Method => Some("method_not_allowed"),
            Self::Missing(_) => Some("missing_required_parameter"),
            Self::NoSuchModel => Some("model_not_found"),
            Self::NotFound => Some("not_found"),
            Self::OutOfRange(_) => Some("invalid_value"),
            Self::Unsupported(_) => Some("unsupported_parameter"),
            Self::WrongType(_) => Some("invalid_type"),
        }
    }

    /// The field that is meant.
    #[must_use]
    pub const fn field(self) -> Option<Field> {
        match self {
            Self::ContextExceeded { .. } => Some(Field::top("messages")),
            Self::Missing(field) | Self::OutOfRange(field) | Self::Unsupported(field) | Self::WrongType(field) => Some(field),
            Self::NoSuchModel => Some(Field::top("model")),
            Self::BodyTooLarge | Self::Busy | Self::Internal | Self::Malformed { .. } | Self::Method | Self::NotFound => None,
        }
    }

    /// A sentence for the caller: what is wrong and where.
    #[must_use]
    pub fn message(self) -> String {
        match self {
            Self::BodyTooLarge => "The request body is too long for this engine.".to_owned(),
            Self::Busy => "The engine is busy and its queue is full; try again shortly.".to_owned(),
            Self::ContextExceeded { limit, prompt } => {
                format!("The messages come to {prompt} tokens; this model takes {limit}, answer included.")
            }
            Self::Internal => "The engine failed while it worked on this request.".to_owned(),
            Self::Malformed { line, column } => {
                format!("The request body is not a JSON object of the expected form (line {line}, column {column}).")
            }
            Self::Method => "This path takes another method.".to_owned(),
            Self::Missing(field) => format!("'{}' is required.", field.path()),
            Self::NoSuchModel => "This engine does not have the requested model.".to_owned(),
            Self::NotFound => "There is nothing under this path.".to_owned(),
            Self::OutOfRange(field) => format!("'{}' is outside of what is allowed.", field.path()),
            Self::Unsupported(field) => format!("This model cannot do what '{}' asks for.", field.path()),
            Self::WrongType(field) => format!("'{}' has the wrong type.", field.path()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Field;

    #[test]
    fn paths() {
        let content = Field::top("messages").at(3).member("content");
        assert_eq!(content.path(), "messages[3].content");
        assert_eq!(content.at(1).member("type").path(), "messages[3].content[1].type");
        assert_eq!(Field::top("stop").at(0).path(), "stop[0]");
        assert_eq!(Field::top("stream_options").member("include_usage").path(), "stream_options.include_usage");
    }
}
