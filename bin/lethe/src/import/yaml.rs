//! YAML as a tree with lines: what other programs' configuration needs, bounded.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

/// Nodes of one file, aliases counted each time.
const NODE_LIMIT: usize = 100_000;
const DEPTH_LIMIT: usize = 64;

/// A node and the line it begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    List(Vec<Node>),
    /// In the order of the file; of a key that occurs twice, the last.
    Map(Vec<(String, Node)>),
    /// As text, whatever type it would have.
    Scalar(String),
}

impl Node {
    /// The value of `key`, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The entries, if this is a map.
    pub(crate) fn entries(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::List(_) | Value::Scalar(_) => &[],
        }
    }

    /// The items, if this is a list.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Map(_) | Value::Scalar(_) => &[],
        }
    }

    /// The text, if this is a scalar that says something.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) if !matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") => Some(text),
            _ => None,
        }
    }

    /// The text of the value of `key`.
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }
}

/// What is being read: a list, or a map with the key whose value comes next.
enum Open {
    List(Vec<Node>),
    Map(Vec<(String, Node)>, Option<String>),
}

struct Frame {
    open: Open,
    line: usize,
    anchor: usize,
}

/// The first document of `text`.
///
/// # Errors
/// `line: what is wrong`; nothing of the text is repeated.
pub(crate) fn parse(text: &str) -> Result<Node, String> {
    let mut anchors: BTreeMap<usize, (Node, usize)> = BTreeMap::new();
    let mut stack: Vec<Frame> = Vec::new();
    let mut nodes = 0usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("{}: this is no YAML", error.marker().line()))?;
        let line = span.start.line();
        let (node, anchor, size) = match event {
            Event::Alias(anchor) => {
                let (node, size) = anchors.get(&anchor).cloned().ok_or_else(|| format!("{line}: an alias of nothing"))?;
                (node, 0, size)
            }
            Event::Scalar(text, _, anchor, _) => (Node { line, value: Value::Scalar(text.into_owned()) }, anchor, 1),
            Event::SequenceStart(anchor, _) => {
                stack.push(Frame { open: Open::List(Vec::new()), line, anchor });
                if stack.len() > DEPTH_LIMIT {
                    return Err(format!("{line}: nested too deep"));
                }
                continue;
            }
            Event::MappingStart(anchor, _) => {
                stack.push(Frame { open: Open::Map(Vec::new(), None), line, anchor });
                if stack.len() > DEPTH_LIMIT {
                    return Err(format!("{line}: nested too deep"));
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = stack.pop() else { return Err(format!("{line}: this is no YAML")) };
                let value = match frame.open {
                    Open::List(items) => Value::List(items),
                    Open::Map(entries, _) => Value::Map(entries),
                };
                let node = Node { line: frame.line, value };
                let size = if frame.anchor > 0 { count(&node) } else { 1 };
                (node, frame.anchor, size)
            }
            Event::DocumentEnd => break,
            _ => continue,
        };
        nodes += size;
        if nodes > NODE_LIMIT {
            return Err(format!("{line}: larger than any configuration"));
        }
        if anchor > 0 {
            anchors.insert(anchor, (node.clone(), size));
        }
        match stack.last_mut() {
            None => return Ok(node),
            Some(frame) => add(&mut frame.open, node),
        }
    }
    Ok(Node { line: 1, value: Value::Map(Vec::new()) })
}

fn count(node: &Node) -> usize {
    1 + node.items().iter().map(count).sum::<usize>() + node.entries().iter().map(|(_, node)| count(node)).sum::<usize>()
}

fn add(open: &mut Open, node: Node) {
    match open {
        Open::List(items) => items.push(node),
        Open::Map(entries, key) => match key.take() {
            // A key that is no text is nobody's.
            None => *key = Some(if let Value::Scalar(text) = node.value { text } else { String::new() }),
            Some(name) if name == "<<" => merge(entries, &node),
            Some(name) => {
                entries.retain(|(other, _)| *other != name);
                entries.push((name, node));
            }
        },
    }
}

/// `<<: *anchor`: entries that the map has not itself.
fn merge(entries: &mut Vec<(String, Node)>, from: &Node) {
    for (name, node) in from.items().iter().flat_map(Node::entries).chain(from.entries()) {
        if !entries.iter().any(|(other, _)| other == name) {
            entries.push((name.clone(), node.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{Value, parse};

    #[test]
    fn lists_maps_anchors_and_merges() {
        let text = "base: &b\n  a: 1\n  c: \"x # y\"\nitem:\n  <<: *b\n  a: 2\nlist: [one, 'two', ~]\n";
        let root = parse(text).unwrap();
        let item = root.get("item").unwrap();
        assert_eq!((item.text_of("a"), item.text_of("c"), item.line), (Some("2"), Some("x # y"), 5));
        let list: Vec<Option<&str>> = root.get("list").unwrap().items().iter().map(super::Node::text).collect();
        assert_eq!(list, [Some("one"), Some("two"), None]);
    }

    #[test]
    fn what_is_broken_or_without_end_is_refused() {
        assert!(parse("a: [1, 2").unwrap_err().contains("no YAML"));
        assert!(parse(&"[".repeat(100)).is_err());
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", before.trim_end_matches(", ")));
        }
        assert!(parse(&bomb).unwrap_err().contains("larger than any configuration"));
        assert_eq!(parse("").unwrap().value, Value::Map(Vec::new()));
    }
}
