//! How much to reason, for models that are told so in words and for those that are told so in tokens
//! (<https://docs.anthropic.com/en/docs/build-with-claude/adaptive-thinking>).

use lethe_types::Api;

use super::request_write::is_native;
use crate::conversation::{Effort, Request, Sending};
use crate::refusal::Refusal;

/// A limit must be sent; this one holds where neither the client nor the configuration has one.
const DEFAULT_LIMIT: u64 = 4096;

/// The least that the API takes, and what is left for the answer where a limit holds for both.
const LEAST_BUDGET: u64 = 1024;

/// Families that take a budget in tokens only; those after them take adaptive thinking, the newest of them nothing else.
const OLDER: [&str; 12] = [
    "claude-2",
    "claude-3",
    "claude-haiku-4-5",
    "claude-instant",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2",
    "claude-opus-4-5",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2",
    "claude-sonnet-4-5",
    "claude-v2",
];

/// What is sent about reasoning.
pub(super) struct Plan {
    pub(super) thinking: Option<Thinking>,
    pub(super) effort: Option<Effort>,
    pub(super) shown: Option<bool>,
    pub(super) max_tokens: u64,
}

/// `thinking.type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    Adaptive,
    Disabled,
    /// With a budget in tokens.
    Enabled(u64),
}

impl Plan {
    pub(super) fn of(request: &Request<'_>, to: &Sending<'_>) -> Result<Self, Refusal> {
        let configured = to.max_output_tokens.map(u64::from);
        let max_tokens = request.max_tokens.or(configured).unwrap_or(DEFAULT_LIMIT);
        let mut plan = Self { thinking: None, effort: None, shown: None, max_tokens };
        let Some(reasoning) = request.reasoning else { return Ok(plan) };
        plan.shown = reasoning.shown;
        if is_native(request) {
            plan.effort = reasoning.effort;
            plan.thinking = match reasoning.budget_tokens {
                _ if reasoning.adaptive => Some(Thinking::Adaptive),
                Some(0) => Some(Thinking::Disabled),
                budget => budget.map(Thinking::Enabled),
            };
            return Ok(plan);
        }
        let is_off = reasoning.budget_tokens == Some(0) || reasoning.effort == Some(Effort::None);
        let says_something = reasoning.adaptive
            || reasoning.budget_tokens.is_some()
            || reasoning.effort.is_some()
            || reasoning.shown == Some(true);
        if is_off {
            plan.thinking = Some(Thinking::Disabled);
        } else if says_something && takes_adaptive(to.model) {
            plan.thinking = Some(Thinking::Adaptive);
            plan.effort = reasoning.effort.or_else(|| reasoning.budget_tokens.map(Effort::of_budget));
        } else if says_something {
            let word = reasoning.effort.unwrap_or(Effort::Medium);
            let budget = reasoning.budget_tokens.unwrap_or(word.budget_tokens()).max(LEAST_BUDGET);
            if request.max_tokens.is_none() {
                plan.max_tokens = configured.unwrap_or(budget + DEFAULT_LIMIT);
            }
            if plan.max_tokens <= LEAST_BUDGET {
                return Err(Refusal::of_field("max_completion_tokens", Api::Messages));
            }
            plan.thinking = Some(Thinking::Enabled(budget.min((plan.max_tokens - LEAST_BUDGET).max(LEAST_BUDGET))));
        }
        Ok(plan)
    }
}

/// The word in `output_config.effort`; there is none below `low`.
pub(super) const fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal => Effort::Low.name(),
        other => other.name(),
    }
}

/// Whether the provider's `model` takes adaptive thinking and an effort. Clouds put prefixes before the name and versions behind it.
#[must_use]
pub fn takes_adaptive(model: &str) -> bool {
    let name = model.replace('.', "-");
    let name = name.find("claude-").and_then(|at| name.get(at..)).unwrap_or_default();
    let bare = |family: &str| name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'));
    !OLDER.iter().any(|family| name.starts_with(family)) && !bare("claude-opus-4") && !bare("claude-sonnet-4")
}

#[cfg(test)]
mod tests {
    use lethe_types::Api;

    use super::{Plan, Thinking, takes_adaptive};
    use crate::conversation::{Effort, Reasoning, Request, Sending};
    use crate::refusal::Refusal;

    const OLD: &str = "claude-sonnet-4-5-20250929";
    const NEW: &str = "claude-opus-5-5";

    fn plan(
        model: &str,
        max_tokens: Option<u64>,
        reasoning: Reasoning,
    ) -> Result<(Option<Thinking>, Option<Effort>, u64), Refusal> {
        let mut request = Request::new(Api::Chat);
        (request.max_tokens, request.reasoning) = (max_tokens, Some(reasoning));
        let plan = Plan::of(&request, &Sending { model, max_output_tokens: None })?;
        Ok((plan.thinking, plan.effort, plan.max_tokens))
    }

    #[test]
    fn older_models_are_told_in_tokens() {
        for model in [
            OLD,
            "claude-3-7-sonnet-latest",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "claude-sonnet-4@20250514",
            "anthropic/claude-sonnet-4.5",
            "claude-opus-4-20250514",
        ] {
            assert!(!takes_adaptive(model), "{model}");
        }
        for model in [NEW, "claude-opus-4-6", "anthropic.claude-opus-4-8-v1", "claude-haiku-5-5", "claude-sonnet-4.6", "m"] {
            assert!(takes_adaptive(model), "{model}");
        }
    }

    #[test]
    fn a_budget_leaves_room_for_the_answer() {
        let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
        let enabled = |budget, limit| Ok((Some(Thinking::Enabled(budget)), None, limit));
        assert_eq!(plan(OLD, None, effort(Effort::High)), enabled(16_384, 20_480));
        assert_eq!(plan(OLD, Some(10_000), effort(Effort::High)), enabled(8976, 10_000));
        assert_eq!(plan(OLD, Some(1025), effort(Effort::Minimal)), enabled(1024, 1025));
        let field = "max_completion_tokens";
        assert_eq!(plan(OLD, Some(1024), effort(Effort::Low)), Err(Refusal::Untranslatable { field, target: Api::Messages }));
        let budget = |tokens| Reasoning { budget_tokens: Some(tokens), ..Reasoning::default() };
        assert_eq!(plan(OLD, Some(9000), budget(7)), enabled(1024, 9000));
        assert_eq!(plan(OLD, Some(5), budget(0)), Ok((Some(Thinking::Disabled), None, 5)));
    }

    #[test]
    fn newer_models_are_told_in_words() {
        let adaptive = |effort| Ok((Some(Thinking::Adaptive), effort, 4096));
        let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
        assert_eq!(plan(NEW, None, effort(Effort::Medium)), adaptive(Some(Effort::Medium)));
        assert_eq!(plan(NEW, None, effort(Effort::None)), Ok((Some(Thinking::Disabled), None, 4096)));
        assert_eq!(plan(NEW, None, Reasoning { adaptive: true, ..Reasoning::default() }), adaptive(None));
        let budget = Reasoning { budget_tokens: Some(9000), ..Reasoning::default() };
        assert_eq!(plan(NEW, None, budget), adaptive(Some(Effort::High)));
        assert_eq!(plan(NEW, None, Reasoning { shown: Some(false), ..Reasoning::default() }), Ok((None, None, 4096)));
    }
}
