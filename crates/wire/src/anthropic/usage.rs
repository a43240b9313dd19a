//! Token counts: this API counts what comes from and goes into a cache apart from the input.

use crate::answer::count;
use crate::conversation::Usage;
use crate::json::{Cursor, JsonError, Kind};
use crate::write::Writer;

/// Counts as they were reported; later ones replace earlier ones, each by itself.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    input: Option<u32>,
    cache_written: Option<u32>,
    cached: Option<u32>,
    output: Option<u32>,
    reasoning: Option<u32>,
}

impl Counts {
    /// Reads a `usage` object.
    pub(super) fn read(&mut self, value: &mut Cursor<'_>) -> Result<(), JsonError> {
        value.object(|key, _, value| {
            let place = match (key.raw(), value.kind()?) {
                ("input_tokens", Kind::Number) => &mut self.input,
                ("cache_creation_input_tokens", Kind::Number) => &mut self.cache_written,
                ("cache_read_input_tokens", Kind::Number) => &mut self.cached,
                ("output_tokens", Kind::Number) => &mut self.output,
                ("output_tokens_details", Kind::Object) => {
                    return value.object(|key, _, value| match (key.raw(), value.kind()?) {
                        ("thinking_tokens", Kind::Number) => {
                            self.reasoning = count(value)?;
                            Ok(())
                        }
                        _ => value.skip().map(drop),
                    });
                }
                _ => return value.skip().map(drop),
            };
            *place = count(value)?.or(*place);
            Ok(())
        })
    }

    /// All of them, where at least the input is known.
    pub(super) fn usage(&self) -> Option<Usage> {
        let apart = self.cached.unwrap_or(0).checked_add(self.cache_written.unwrap_or(0))?;
        Some(Usage {
            input: self.input?.checked_add(apart)?,
            cached: self.cached,
            cache_written: self.cache_written,
            output: self.output.unwrap_or(0),
            reasoning: self.reasoning,
        })
    }
}

/// The members of a `usage` object.
pub(super) fn write_usage(json: &mut Writer<'_>, usage: &Usage) {
    let (cached, written) = (usage.cached.unwrap_or(0), usage.cache_written.unwrap_or(0));
    json.key("input_tokens").number(usage.input.saturating_sub(cached).saturating_sub(written).into());
    json.key("cache_creation_input_tokens").number(written.into());
    json.key("cache_read_input_tokens").number(cached.into());
    json.key("output_tokens").number(usage.output.into());
    if let Some(reasoning) = usage.reasoning {
        json.key("output_tokens_details").object(|json| json.key("thinking_tokens").number(reasoning.into()));
    }
}
