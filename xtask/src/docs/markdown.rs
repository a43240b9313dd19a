//! As much of Markdown as our documents use: links, and the anchors that the usual hostings give to headings.

pub(super) struct Link {
    pub(super) target: String,
    /// From 1.
    pub(super) line: usize,
}

/// Inline links and images, outside code.
pub(super) fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, content) in prose(text) {
        let content = without_code(content);
        for piece in content.split("](").skip(1) {
            let target = piece.split(')').next().unwrap_or_default();
            // `(target "title")`
            let target = target.split_whitespace().next().unwrap_or_default();
            links.push(Link { target: target.to_owned(), line });
        }
    }
    links
}

/// Of headings, and those given by `<a id="…">`.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() && heading.starts_with(' ') {
            let slug = slug(heading);
            let same = anchors.iter().filter(|known| known.strip_prefix(&slug).is_some_and(is_numbered)).count();
            anchors.push(if same == 0 { slug } else { format!("{slug}-{same}") });
        }
        anchors.extend(line.split("<a id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    anchors
}

/// Nothing, or `-` and a number: what makes the second heading of one name different from the first.
fn is_numbered(rest: &str) -> bool {
    rest.is_empty() || rest.strip_prefix('-').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|character| if character == ' ' { '-' } else { character }).collect()
}

/// The lines outside fenced code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

/// Every second piece between backticks is code.
pub(super) fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_outside_code_only() {
        let text = "[a](x.md) and ![b](y.png \"title\")\n```\n[c](no.md)\n```\n`[d](no.md)` [e](z.md#end)\n";
        let found: Vec<_> = links(text).into_iter().map(|link| (link.target, link.line)).collect();
        assert_eq!(found, [("x.md".to_owned(), 1), ("y.png".to_owned(), 1), ("z.md#end".to_owned(), 5)]);
    }

    #[test]
    fn headings_get_the_usual_anchors() {
        let text = "# The dialer\n## Wall 1, always: `seccomp`\n## The dialer\n#no-heading\n<a id=\"own\"></a>\n";
        assert_eq!(anchors(text), ["the-dialer", "wall-1-always-seccomp", "the-dialer-1", "own"]);
    }
}
