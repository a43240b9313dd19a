//! The rows of the benchmark: what is asked, how, and over what.

use crate::ask::Ask;

/// One row.
pub(crate) struct Row {
    /// As `--only` takes it.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) ask: Ask,
    pub(crate) how: How,
    pub(crate) legs: Legs,
}

/// How the load is put on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// So many connections, each asks again as soon as it has its answer.
    Closed(usize),
    /// The same, but each request on a connection of its own.
    Fresh(usize),
    /// So many streams stay open; what they take in memory.
    Held(usize),
    /// Closed, with one key and with so many, taken at random.
    Keys(usize),
    /// So many requests a second, at times that were fixed before.
    Open(u32),
    /// Closed, with the time that each event took.
    Paced(usize),
    /// From the start of the process to the first answer.
    Start,
}

/// Which legs have TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Legs {
    /// From the load to the target.
    pub(crate) inward: bool,
    /// From the target to the mock upstream.
    pub(crate) outward: bool,
}

impl Legs {
    pub(crate) const PLAIN: Self = Self { inward: false, outward: false };
    const IN: Self = Self { inward: true, outward: false };
    const OUT: Self = Self { inward: false, outward: true };
    const BOTH: Self = Self { inward: true, outward: true };

    pub(crate) const fn any(self) -> bool {
        self.inward || self.outward
    }
}

impl Row {
    /// What is counted.
    pub(crate) const fn unit(&self) -> &'static str {
        if self.ask.is_stream() { "stream" } else { "request" }
    }
}

const MIB: usize = 1024 * 1024;

const fn row(name: &'static str, title: &'static str, ask: Ask, how: How, legs: Legs) -> Row {
    Row { name, title, ask, how, legs }
}

/// Every row. Those over the same legs stand together: they share running targets.
pub(crate) static ROWS: &[Row] = &[
    row("chat", "Chat completions: one JSON answer of 744 bytes, 64 connections", Ask::Chat, How::Closed(64), Legs::PLAIN),
    row("stream", "Streams of 66 events, all at once, 64 connections", Ask::Stream, How::Closed(64), Legs::PLAIN),
    row("open-500", "Open loop: 500 requests a second, as they come", Ask::Chat, How::Open(500), Legs::PLAIN),
    row("open-2000", "Open loop: 2,000 requests a second, as they come", Ask::Chat, How::Open(2000), Legs::PLAIN),
    row("paced-10", "200 streams at once, an event every 10 ms", Ask::Paced(10), How::Paced(200), Legs::PLAIN),
    row("paced-50", "200 streams at once, an event every 50 ms", Ask::Paced(50), How::Paced(200), Legs::PLAIN),
    row("body-1m", "Requests with an image of 1 MiB, 8 connections", Ask::Image(MIB), How::Closed(8), Legs::PLAIN),
    row("body-10m", "Requests with an image of 10 MiB, 4 connections", Ask::Image(10 * MIB), How::Closed(4), Legs::PLAIN),
    row(
        "translate",
        "Streams of 66 events for a client that speaks Anthropic's messages, an upstream that speaks chat completions, 64 connections",
        Ask::Translated,
        How::Closed(64),
        Legs::PLAIN,
    ),
    row("keys", "Chat completions with 1 key and with 100,000, taken at random", Ask::Chat, How::Keys(100_000), Legs::PLAIN),
    row("memory", "Memory at 1,000 open streams, an event each second", Ask::Paced(1000), How::Held(1000), Legs::PLAIN),
    row("start", "From the start of the process to the first answer", Ask::Chat, How::Start, Legs::PLAIN),
    row("tls-in", "Chat completions, TLS from the client", Ask::Chat, How::Closed(64), Legs::IN),
    row("tls-new", "Chat completions, a new TLS connection from the client for each", Ask::Chat, How::Fresh(16), Legs::IN),
    row("tls-out", "Chat completions, TLS to the upstream", Ask::Chat, How::Closed(64), Legs::OUT),
    row("tls-both", "Chat completions, TLS on both legs", Ask::Chat, How::Closed(64), Legs::BOTH),
    row("tls-stream", "Streams of 66 events, all at once, TLS on both legs", Ask::Stream, How::Closed(64), Legs::BOTH),
];

/// The row with this name.
pub(crate) fn named(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::{ROWS, named};

    #[test]
    fn rows_over_the_same_legs_stand_together() {
        let mut changes = ROWS.windows(2).filter(|pair| pair[0].legs != pair[1].legs).count();
        let mut seen = Vec::new();
        for row in ROWS {
            if !seen.contains(&row.legs) {
                seen.push(row.legs);
            }
        }
        changes += 1;
        assert_eq!(changes, seen.len());
    }

    #[test]
    fn names_are_unique() {
        for row in ROWS {
            assert!(named(row.name).is_some_and(|found| std::ptr::eq(found, row)), "{}", row.name);
        }
    }
}
