//! What goes on, for somebody who is watching.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lethe_audit::run::Step;

/// A line on standard error that says which step of how many it is; nothing where nobody watches.
pub(super) struct Live(ProgressBar);

impl Live {
    pub(super) fn start() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("lethe audit: {prefix} {wide_msg} [{pos}/{len}] {elapsed}");
        let bar = style.map_or(bar.clone(), |style| bar.with_style(style));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    pub(super) fn show(&self, step: &Step) {
        let Step { phase, what, done, of } = step;
        self.0.set_prefix(phase.name());
        self.0.set_length(*of as u64);
        self.0.set_position(*done as u64);
        self.0.set_message(what.clone());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
