//! Bars as SVG: one panel a row, each with its own scale, median with the spread of the rounds.

use std::fmt::Write as _;

/// One row's bars.
pub(crate) struct Panel {
    pub(crate) title: String,
    /// What is drawn, and which way is better.
    pub(crate) what: String,
    pub(crate) bars: Vec<Bar>,
}

/// One target.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    pub(crate) spread: (f64, f64),
    /// The value as text.
    pub(crate) shown: String,
}

const WIDTH: f64 = 860.0;
const LABELS: f64 = 250.0;
const BARS: f64 = 440.0;
const LINE: f64 = 22.0;

/// The whole picture.
pub(crate) fn svg(title: &str, panels: &[Panel]) -> String {
    let mut inner = String::new();
    let mut y = 34.0;
    for panel in panels {
        // Writing to a String does not fail.
        let _ = draw(&mut inner, panel, &mut y);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\" fill=\"#1a1a1a\">{}</text>\n{inner}</svg>\n",
        escaped(title)
    )
}

fn draw(out: &mut String, panel: &Panel, y: &mut f64) -> std::fmt::Result {
    let most = panel.bars.iter().map(|bar| bar.spread.1.max(bar.value)).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let scale = |value: f64| (value.max(0.0) / most * BARS).clamp(0.0, BARS);
    *y += 18.0;
    writeln!(
        out,
        "<text x=\"12\" y=\"{y:.0}\" font-weight=\"bold\" fill=\"#1a1a1a\">{}</text>\n\
         <text x=\"{:.0}\" y=\"{y:.0}\" text-anchor=\"end\" fill=\"#5a5a5a\">{}</text>",
        escaped(&panel.title),
        WIDTH - 12.0,
        escaped(&panel.what)
    )?;
    *y += 8.0;
    for bar in &panel.bars {
        let (width, middle) = (scale(bar.value).max(1.0), *y + LINE / 2.0);
        let colour = if bar.label.starts_with("lethe") { "#1f5fa8" } else { "#b4bcc6" };
        writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#1a1a1a\">{}</text>\n\
             <rect x=\"{LABELS}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"14\" fill=\"{colour}\"/>",
            LABELS - 8.0,
            middle + 4.5,
            escaped(&bar.label),
            middle - 7.0
        )?;
        let (least, most) = (scale(bar.spread.0), scale(bar.spread.1));
        writeln!(
            out,
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"#1a1a1a\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#1a1a1a\">{}</text>",
            LABELS + least,
            LABELS + most,
            LABELS + width.max(most) + 8.0,
            middle + 4.5,
            escaped(&bar.shown)
        )?;
        *y += LINE;
    }
    *y += 10.0;
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{Bar, Panel, svg};

    #[test]
    fn the_largest_bar_fills_the_panel_and_text_is_escaped() {
        let bar = |label: &str, value: f64| Bar { label: label.into(), value, spread: (value, value), shown: format!("{value}") };
        let panel =
            Panel { title: "a < b".into(), what: "more is better".into(), bars: vec![bar("lethe", 2.0), bar("other", 1.0)] };
        let text = svg("T", &[panel]);
        assert!(text.contains("a &lt; b"));
        assert!(text.contains("width=\"440.0\"") && text.contains("width=\"220.0\""), "{text}");
    }
}
