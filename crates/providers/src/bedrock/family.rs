//! Which family a model belongs to, by its name: Converse has no fields of its own for what only some families can do, and each has its words for
//! it in `additionalModelRequestFields` (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html>).

use lethe_types::Api;
use lethe_wire::anthropic::takes_adaptive;
use lethe_wire::conversation::{Effort, Reasoning, Request};
use lethe_wire::refusal::Refusal;
use lethe_wire::write::Writer;

/// Less than this Anthropic's models do not take.
const LEAST_BUDGET: u64 = 1024;

/// A family of models.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's, whose thoughts are switched by `thinking`: older ones are given a budget in tokens, newer ones a word, and refuse the other.
    Anthropic {
        /// It is one of those that are given a word.
        adaptive: bool,
    },
    /// Mistral's.
    Mistral,
    /// Amazon's own.
    Nova,
    /// OpenAI's open ones, which always reason.
    Openai,
    /// Any other, or one behind an identifier that does not say.
    Other,
}

impl Family {
    /// The family of `model`: `anthropic.claude-…`, `eu.anthropic.claude-…`, or the ARN of such a profile.
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or_default();
        match name.split('.').find(|part| matches!(*part, "amazon" | "anthropic" | "mistral" | "openai")) {
            Some("amazon") if name.contains(".nova-") => Self::Nova,
            Some("anthropic") => Self::Anthropic { adaptive: takes_adaptive(name) },
            Some("mistral") => Self::Mistral,
            Some("openai") => Self::Openai,
            _ => Self::Other,
        }
    }

    /// Writes `additionalModelRequestFields`, if there is something for it.
    pub(super) fn write_own(self, json: &mut Writer<'_>, request: &Request<'_>) -> Result<(), Refusal> {
        let reasoning = request.reasoning.filter(says_something);
        if request.top_k.is_none() && reasoning.is_none() {
            return Ok(());
        }
        json.key("additionalModelRequestFields").try_object(|json| {
            if let Some(top_k) = &request.top_k {
                match self {
                    Self::Anthropic { .. } | Self::Mistral => json.key("top_k").json(top_k),
                    Self::Nova => json.key("inferenceConfig").object(|json| json.key("topK").json(top_k)),
                    Self::Openai | Self::Other => return Err(Refusal::of_field("top_k", Api::Converse)),
                }
            }
            match reasoning {
                Some(reasoning) => self.write_reasoning(json, reasoning, request),
                None => Ok(()),
            }
        })
    }

    fn write_reasoning(self, json: &mut Writer<'_>, reasoning: Reasoning, request: &Request<'_>) -> Result<(), Refusal> {
        let effort = reasoning.effort.or_else(|| reasoning.budget_tokens.map(Effort::of_budget));
        match (self, effort) {
            (Self::Anthropic { adaptive }, effort) => json.key("thinking").object(|json| match effort {
                Some(Effort::None) => json.constant("type", "disabled"),
                _ if adaptive => write_adaptive(json, reasoning.shown),
                effort => write_budget(json, reasoning.budget_tokens, effort, request.max_tokens),
            }),
            (Self::Nova, Some(Effort::None)) => json.key("reasoningConfig").object(|json| json.constant("type", "disabled")),
            // <https://docs.aws.amazon.com/nova/latest/nova2-userguide/using-converse-api.html>
            (Self::Nova, effort) => json.key("reasoningConfig").object(|json| {
                json.constant("type", "enabled");
                json.constant("maxReasoningEffort", in_three_words(effort.unwrap_or(Effort::Medium)));
            }),
            (Self::Openai, Some(effort)) if effort != Effort::None => json.constant("reasoning_effort", in_three_words(effort)),
            (Self::Mistral | Self::Openai | Self::Other, _) => return Err(Refusal::of_field("reasoning_effort", Api::Converse)),
        }
        Ok(())
    }

    /// The effort that is written in `outputConfig`: it stands beside the fields that only some families have.
    pub(super) fn output_effort(self, request: &Request<'_>) -> Option<&'static str> {
        let reasoning = request.reasoning.filter(|_| self == Self::Anthropic { adaptive: true })?;
        let effort = reasoning.effort.or_else(|| reasoning.budget_tokens.map(Effort::of_budget))?;
        match effort {
            Effort::None => None,
            Effort::Minimal => Some(Effort::Low.name()),
            other => Some(other.name()),
        }
    }
}

/// Whether thoughts are asked for or forbidden; not to show them is no wish to have them.
fn says_something(reasoning: &Reasoning) -> bool {
    reasoning.adaptive || reasoning.budget_tokens.is_some() || reasoning.effort.is_some() || reasoning.shown == Some(true)
}

fn write_adaptive(json: &mut Writer<'_>, shown: Option<bool>) {
    json.constant("type", "adaptive");
    match shown {
        Some(true) => json.constant("display", "summarized"),
        Some(false) => json.constant("display", "omitted"),
        None => {}
    }
}

fn write_budget(json: &mut Writer<'_>, budget: Option<u64>, effort: Option<Effort>, max_tokens: Option<u64>) {
    json.constant("type", "enabled");
    // It must leave something for the answer.
    let most = max_tokens.map_or(u64::MAX, |limit| limit.saturating_sub(1));
    let tokens = budget.unwrap_or(effort.unwrap_or(Effort::Medium).budget_tokens());
    json.key("budget_tokens").number(tokens.min(most).max(LEAST_BUDGET));
}

const fn in_three_words(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::ExtraHigh | Effort::Max => "high",
    }
}

#[cfg(test)]
mod tests {
    use super::Family;

    const NEW: Family = Family::Anthropic { adaptive: true };
    const OLD: Family = Family::Anthropic { adaptive: false };

    #[test]
    fn families_are_told_by_the_name() {
        for (model, family) in [
            ("anthropic.claude-sonnet-4-5-20250929-v1:0", OLD),
            ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", OLD),
            ("us.anthropic.claude-opus-4-20250514-v1:0", OLD),
            ("global.anthropic.claude-opus-4-8-20260601-v1:0", NEW),
            ("anthropic.claude-sonnet-5", NEW),
            ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-6-v1", NEW),
            ("us.amazon.nova-2-lite-v1:0", Family::Nova),
            ("amazon.titan-text-express-v1", Family::Other),
            ("openai.gpt-oss-120b-1:0", Family::Openai),
            ("mistral.mistral-large-2407-v1:0", Family::Mistral),
            ("us.deepseek.r1-v1:0", Family::Other),
            ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcd", Family::Other),
        ] {
            assert!(Family::of(model) == family, "{model}");
        }
    }
}
