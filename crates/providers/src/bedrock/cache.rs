//! Points up to which a prompt is cached, for five minutes (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>). No point has a
//! `ttl`: a longer one keeps the prompt.

use lethe_wire::conversation::{Part, PartKind, Request};
use lethe_wire::write::Writer;

use super::family::Family;

/// Anthropic's models from before there were such points.
const BEFORE: [&str; 6] =
    ["claude-3-5-sonnet", "claude-3-haiku", "claude-3-opus", "claude-3-sonnet", "claude-instant", "claude-v2"];

/// Where a model takes points: elsewhere a request with one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Points {
    /// Among the blocks of messages and instructions.
    content: bool,
    /// Among tools.
    tools: bool,
}

impl Points {
    /// Where `model` takes them.
    pub(super) fn of(model: &str) -> Self {
        let old = BEFORE.iter().any(|name| model.contains(name));
        match Family::of(model) {
            Family::Anthropic { .. } => Self { content: !old, tools: !old },
            Family::Nova => Self { content: true, tools: false },
            Family::Mistral | Family::Openai | Family::Other => Self { content: false, tools: false },
        }
    }

    /// Whether each wish of `request` becomes a point.
    pub(super) fn keep(self, request: &Request<'_>) -> bool {
        self.content && (self.tools || request.tools.iter().all(|tool| tool.cache_control.is_none()))
    }

    /// Writes a point behind a block, if one is wished there. There is none inside of a result: it comes behind the whole of it. Behind what is not written,
    /// and behind thoughts, there is none.
    pub(super) fn write_behind(self, json: &mut Writer<'_>, part: &Part<'_>) {
        let inside = match &part.kind {
            PartKind::Reasoning(_) => return,
            PartKind::Refusal(text) | PartKind::Text(text) if text.is_empty() => return,
            PartKind::ToolResult(result) => result.content.iter().any(|part| part.cache_control.is_some()),
            _ => false,
        };
        if self.content && (inside || part.cache_control.is_some()) {
            write(json);
        }
    }

    /// Writes a point behind a tool, if one is `wished` there.
    pub(super) fn write_behind_tool(self, json: &mut Writer<'_>, wished: bool) {
        if self.tools && wished {
            write(json);
        }
    }
}

fn write(json: &mut Writer<'_>) {
    json.object(|json| json.key("cachePoint").object(|json| json.constant("type", "default")));
}

#[cfg(test)]
mod tests {
    use super::Points;

    #[test]
    fn who_takes_points_is_told_by_the_name() {
        for (model, content, tools) in [
            ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", true, true),
            ("anthropic.claude-3-7-sonnet-20250219-v1:0", true, true),
            ("anthropic.claude-3-haiku-20240307-v1:0", false, false),
            ("us.amazon.nova-2-lite-v1:0", true, false),
            ("openai.gpt-oss-120b-1:0", false, false),
            ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcd", false, false),
        ] {
            assert_eq!(Points::of(model), Points { content, tools }, "{model}");
        }
    }
}
