//! Ending an answer where the client said, without ever showing the stop text or a part of it.

/// Watches an answer for stop sequences, holding back what might be the beginning of one.
pub(crate) struct StopFilter {
    stops: Vec<String>,
    held: String,
}

/// What became of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answer goes on.
    GoOn,
    /// A stop sequence is complete: the answer ends here.
    Stop,
}

impl StopFilter {
    /// Watches for `stops`; empty ones are ignored.
    #[must_use]
    pub(crate) fn new(mut stops: Vec<String>) -> Self {
        stops.retain(|stop| !stop.is_empty());
        Self { stops, held: String::new() }
    }

    /// Takes the next `text` of the answer and appends to `shown` what may be shown by now.
    pub(crate) fn push(&mut self, text: &str, shown: &mut String) -> Verdict {
        self.held.push_str(text);
        if let Some(end) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            shown.push_str(&self.held[..end]);
            self.held = String::new();
            return Verdict::Stop;
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let end = self.held.len() - keep;
        shown.push_str(&self.held[..end]);
        self.held.drain(..end);
        Verdict::GoOn
    }

    /// The answer has ended by itself: what was held back is part of it after all.
    pub(crate) fn finish(&mut self, shown: &mut String) {
        shown.push_str(&std::mem::take(&mut self.held));
    }
}

/// Bytes of the longest beginning of `stop`, not all of it, that `text` ends with.
fn overlap(text: &str, stop: &str) -> usize {
    (1..stop.len())
        .rev()
        .filter(|length| stop.is_char_boundary(*length))
        .find(|length| text.ends_with(&stop[..*length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{StopFilter, Verdict};

    /// Feeds `text` in pieces of `size` characters; what was shown after each, and whether it stopped.
    fn run(stops: &[&str], text: &str, size: usize) -> (String, bool) {
        let mut filter = StopFilter::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let characters: Vec<char> = text.chars().collect();
        let mut shown = String::new();
        for piece in characters.chunks(size) {
            if filter.push(&piece.iter().collect::<String>(), &mut shown) == Verdict::Stop {
                return (shown, true);
            }
        }
        filter.finish(&mut shown);
        (shown, false)
    }

    #[test]
    fn stops_across_pieces() {
        for size in 1..8 {
            assert_eq!(run(&["###", "END"], "one two END three", size), ("one two ".to_owned(), true), "pieces of {size}");
            assert_eq!(run(&["€nd"], "10 €n €nd", size), ("10 €n ".to_owned(), true), "pieces of {size}");
        }
    }

    #[test]
    fn the_earliest_stop_wins_and_near_misses_come_through() {
        assert_eq!(run(&["bc", "abcd"], "xabcd", 9), ("x".to_owned(), true));
        assert_eq!(run(&["aab"], "aaab!", 1), ("a".to_owned(), true));
        assert_eq!(
            run(&["END"], "no EN", 1),
            ("no EN".to_owned(), false),
            "what was held back is shown when the answer ends by itself"
        );
        assert_eq!(run(&[""], "all of it", 2), ("all of it".to_owned(), false));
    }
}
