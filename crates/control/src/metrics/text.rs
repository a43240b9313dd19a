//! Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
//!
//! Written here rather than with a library: everything that is shown is read from where it is counted at the moment of the
//! question, and what is left is this file.

use std::fmt::{Display, Write};

/// `Content-Type` of a page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page being written.
#[derive(Default)]
pub(crate) struct Page(String);

/// What a family of series is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One family, whose series follow.
pub(crate) struct Family<'a> {
    page: &'a mut String,
    name: &'static str,
}

/// Label names, which are ours, and values, which may be an operator's.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Page {
    /// Begins a family.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let page = &mut self.0;
        // Writing to a text cannot fail.
        let _ = write!(page, "# HELP {name} ");
        escape(page, help, false);
        let _ = write!(page, "\n# TYPE {name} {kind}\n");
        Family { page, name }
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One series.
    pub(crate) fn put(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// One histogram: `counts` below or at each of `bounds` (seconds), not cumulative, and one for what is above all of them.
    pub(crate) fn histogram(&mut self, labels: Labels<'_>, bounds: &[f64], counts: &[u64], sum_seconds: f64) {
        let mut total = 0;
        for (position, count) in counts.iter().enumerate() {
            total += count;
            let bound = bounds.get(position).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.line("_bucket", labels, Some(&bound), total);
        }
        self.line("_sum", labels, None, sum_seconds);
        self.line("_count", labels, None, total);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        let _ = write!(self.page, "{}{suffix}", self.name);
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut open = '{';
        for (name, value) in labels {
            let _ = write!(self.page, "{open}{name}=\"");
            escape(self.page, value, true);
            self.page.push('"');
            open = ',';
        }
        if open == ',' {
            self.page.push('}');
        }
        let _ = writeln!(self.page, " {value}");
    }
}

/// Backslash and line feed, and in label values the quote too. Other control characters are nobody's name: they are left out.
fn escape(out: &mut String, text: &str, quotes: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            character if character.is_control() => {}
            character => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Page};

    #[test]
    fn a_page_is_what_the_format_says() {
        let mut page = Page::default();
        let mut family = page.family("a_total", Kind::Counter, "One \\ two\nthree \"four\".");
        family.put(&[], 1);
        family.put(&[("x", "1")], u64::MAX);
        page.family("b", Kind::Gauge, "B.").put(&[("x", ""), ("y", "z")], -1.5);
        let expected = "# HELP a_total One \\\\ two\\nthree \"four\".\n# TYPE a_total counter\na_total 1\na_total{x=\"1\"} \
             18446744073709551615\n# HELP b B.\n# TYPE b gauge\nb{x=\"\",y=\"z\"} -1.5\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn a_label_cannot_leave_its_quotes_or_its_line() {
        let mut page = Page::default();
        page.family("a", Kind::Gauge, "A.").put(&[("x", "\"} 1\na{y=\"\\\r\u{1b}[0m\u{2028}é")], 0);
        let text = page.into_text();
        assert_eq!(text.lines().nth(2), Some("a{x=\"\\\"} 1\\na{y=\\\"\\\\[0m\u{2028}é\"} 0"));
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn a_histogram_is_cumulative() {
        let mut page = Page::default();
        page.family("h", Kind::Histogram, "H.").histogram(&[("x", "1")], &[0.5, 1.0], &[2, 0, 3], 7.25);
        let lines: Vec<String> = page.into_text().lines().skip(2).map(str::to_owned).collect();
        let expected = [
            "h_bucket{x=\"1\",le=\"0.5\"} 2",
            "h_bucket{x=\"1\",le=\"1\"} 2",
            "h_bucket{x=\"1\",le=\"+Inf\"} 5",
            "h_sum{x=\"1\"} 7.25",
            "h_count{x=\"1\"} 5",
        ];
        assert_eq!(lines, expected);
    }
}
