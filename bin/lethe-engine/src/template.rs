//! The model's own chat template, rendered without the conversation.
//!
//! The template only ever sees stand-ins: message number 3 has the content `⟨mark⟩3⟨mark⟩`. What comes out is then cut at the marks. So
//! nothing that a client wrote can be taken for the template's control tokens, and no content passes through the template engine.

use minijinja::{Environment, Value};

use crate::gguf::ModelError;
use crate::tokenizer::Piece;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The model.
    Assistant,
    /// Instructions.
    System,
    /// The client.
    User,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::User => "user",
        }
    }
}

/// The template refuses this order of roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unrenderable;

/// A part of the rendered conversation: the template's own text, or the content of a message by its number.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Content(usize),
    Markup(String),
}

/// Surrounds the number of a message: the first character of a private-use plane.
const MARK: char = '\u{F0000}';

/// A compiled template.
pub(crate) struct Template {
    environment: Environment<'static>,
    source: String,
}

impl Template {
    /// Takes a Jinja chat template.
    ///
    /// # Errors
    /// If it does not compile, or does not render each message of a conversation once and in order.
    pub(crate) fn new(source: &str) -> Result<Self, ModelError> {
        let mut environment = Environment::new();
        // As the library that chat templates are written for (`transformers`) sets it.
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        let template = Self { environment, source: source.to_owned() };
        let sample =
            template.parts(&[Role::System, Role::User, Role::Assistant, Role::User]).map_err(|_| ModelError::BadTemplate)?;
        let contents = sample.iter().filter_map(|part| match part {
            Part::Content(index) => Some(*index),
            Part::Markup(_) => None,
        });
        if source.contains(MARK) || !contents.eq(0..4) {
            return Err(ModelError::BadTemplate);
        }
        Ok(template)
    }

    /// Renders a conversation, ready for the model's answer, and hands its pieces to `take`.
    ///
    /// # Errors
    /// [`Unrenderable`].
    pub(crate) fn render<T>(
        &self,
        messages: &[(Role, &str)],
        take: impl FnOnce(&mut dyn Iterator<Item = Piece<'_>>) -> T,
    ) -> Result<T, Unrenderable> {
        let roles: Vec<Role> = messages.iter().map(|(role, _)| *role).collect();
        let parts = self.parts(&roles)?;
        let mut pieces = parts.iter().map(|part| match part {
            Part::Content(index) => Piece::Content(messages.get(*index).map_or("", |(_, content)| content)),
            Part::Markup(text) => Piece::Markup(text),
        });
        Ok(take(&mut pieces))
    }

    fn parts(&self, roles: &[Role]) -> Result<Vec<Part>, Unrenderable> {
        let messages: Vec<Value> = roles
            .iter()
            .enumerate()
            .map(|(index, role)| {
                Value::from_iter([("role", Value::from(role.name())), ("content", Value::from(format!("{MARK}{index}{MARK}")))])
            })
            .collect();
        let context = Value::from_iter([("messages", Value::from(messages)), ("add_generation_prompt", Value::from(true))]);
        let template = self.environment.template_from_str(&self.source).map_err(|_| Unrenderable)?;
        let rendered = template.render(context).map_err(|_| Unrenderable)?;
        rendered
            .split(MARK)
            .enumerate()
            .map(|(index, text)| {
                if index.is_multiple_of(2) {
                    Ok(Part::Markup(text.to_owned()))
                } else {
                    text.parse().map(Part::Content).map_err(|_| Unrenderable)
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{Role, Template};
    use crate::gguf::ModelError;
    use crate::tokenizer::Piece;

    const SOURCE: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ 'S\n' }}{% endif %}\
                          {{'<' + message['role'] + '>' + message['content'] + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}";

    fn flat(template: &Template, messages: &[(Role, &str)]) -> String {
        template
            .render(messages, |pieces| {
                pieces
                    .map(|piece| match piece {
                        Piece::Content(content) => format!("[{content}]"),
                        Piece::Markup(markup) => markup.to_owned(),
                    })
                    .collect()
            })
            .unwrap()
    }

    #[test]
    fn content_and_markup_stay_apart() {
        let template = Template::new(SOURCE).unwrap();
        assert_eq!(flat(&template, &[(Role::User, "hi")]), "S\n<user>[hi]\n<assistant>");
        assert_eq!(
            flat(&template, &[(Role::System, "be brief"), (Role::User, "{{ 7 * 6 }}")]),
            "<system>[be brief]\n<user>[{{ 7 * 6 }}]\n<assistant>"
        );
    }

    #[test]
    fn a_stand_in_in_content_is_only_text() {
        let template = Template::new(SOURCE).unwrap();
        let content = "\u{F0000}0\u{F0000}";
        assert_eq!(
            flat(&template, &[(Role::User, "first"), (Role::User, content)]),
            format!("S\n<user>[first]\n<user>[{content}]\n<assistant>")
        );
    }

    #[test]
    fn templates_that_lose_or_repeat_messages_are_refused() {
        for source in ["{{ messages[0].content }}", "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", "{% for"]
        {
            assert_eq!(Template::new(source).err(), Some(ModelError::BadTemplate), "{source}");
        }
    }
}
