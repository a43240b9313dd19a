//! Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
//!
//! Written here rather than with a library: everything that is shown is read from where it is counted at the moment of the
//! question, and what is left is this file.

use std::fmt::{Display, Formatter, Write};

use super::family::{Family, Kind, Number, Page, Series, Value};

/// `Content-Type` of a page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Page {
    pub(crate) fn into_text(self) -> String {
        let mut text = String::new();
        self.0.iter().for_each(|family| family.write(&mut text));
        text
    }
}

impl Family {
    fn write(&self, out: &mut String) {
        let name = self.name;
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a text cannot fail.
        let _ = write!(out, "# HELP {name} ");
        escape(out, &self.help, false);
        let _ = write!(out, "\n# TYPE {name} {kind}\n");
        for series in &self.series {
            match &series.value {
                Value::Number(number) => series.line(out, name, "", None, number),
                Value::Histogram { bounds, counts, sum } => {
                    let mut total = 0;
                    for (position, count) in counts.iter().enumerate() {
                        total += count;
                        let bound = bounds.get(position).map_or_else(|| "+Inf".to_owned(), f64::to_string);
                        series.line(out, name, "_bucket", Some(&bound), total);
                    }
                    series.line(out, name, "_sum", None, sum);
                    series.line(out, name, "_count", None, total);
                }
            }
        }
    }
}

impl Series {
    fn line(&self, out: &mut String, name: &str, suffix: &str, bound: Option<&str>, value: impl Display) {
        let _ = write!(out, "{name}{suffix}");
        let labels = self.labels.iter().map(|(name, value)| (*name, value.as_str())).chain(bound.map(|bound| ("le", bound)));
        let mut open = '{';
        for (name, value) in labels {
            let _ = write!(out, "{open}{name}=\"");
            escape(out, value, true);
            out.push('"');
            open = ',';
        }
        if open == ',' {
            out.push('}');
        }
        let _ = writeln!(out, " {value}");
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Float(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
        }
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
        let family = page.family("a_total", Kind::Counter, "One \\ two\nthree \"four\".");
        family.put(&[], 1_u64);
        family.put(&[("x", "1")], u64::MAX);
        page.family("b", Kind::Gauge, "B.").put(&[("x", ""), ("y", "z")], -1.5);
        let expected = "# HELP a_total One \\\\ two\\nthree \"four\".\n# TYPE a_total counter\na_total 1\na_total{x=\"1\"} \
             18446744073709551615\n# HELP b B.\n# TYPE b gauge\nb{x=\"\",y=\"z\"} -1.5\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn a_label_cannot_leave_its_quotes_or_its_line() {
        let mut page = Page::default();
        page.family("a", Kind::Gauge, "A.").put(&[("x", "\"} 1\na{y=\"\\\r\u{1b}[0m\u{2028}é")], 0_u64);
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
