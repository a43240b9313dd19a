//! What cargo compiles for the shipped executables: the text of `cargo tree --edges normal --prefix depth --format '{p}|{f}'`.
//! Procedural macros and what they are made of are in it: they write code that is linked.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Tree {
    sees: BTreeMap<String, BTreeSet<String>>,
    features: BTreeMap<String, BTreeSet<String>>,
}

impl Tree {
    /// Versions of one crate are taken together: whatever one of them needs counts for all.
    pub(super) fn parse(text: &str) -> Self {
        let mut tree = Self::default();
        let mut path: Vec<String> = Vec::new();
        for line in text.lines() {
            let name_at = line.find(|character: char| !character.is_ascii_digit()).unwrap_or(line.len());
            let (depth, rest) = line.split_at(name_at);
            // Between the packages that were asked for there is an empty line.
            let (Ok(depth), Some((name, rest))) = (depth.parse::<usize>(), rest.split_once(' ')) else { continue };
            path.truncate(depth);
            if let Some(above) = path.last() {
                tree.sees.entry(above.clone()).or_default().insert(name.to_owned());
            }
            tree.sees.entry(name.to_owned()).or_default();
            path.push(name.to_owned());
            // `(*)`: shown before, with all below it.
            let features = rest.rsplit_once('|').map_or("", |(_, features)| features).trim_end_matches("(*)").trim();
            let known = tree.features.entry(name.to_owned()).or_default();
            known.extend(features.split(',').filter(|feature| !feature.is_empty()).map(str::to_owned));
        }
        tree
    }

    /// Everything that `root` reaches, itself not counted; empty if it is not there.
    pub(super) fn closure(&self, root: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![root];
        while let Some(name) = open.pop() {
            for below in self.sees.get(name).into_iter().flatten() {
                if reached.insert(below.as_str()) {
                    open.push(below);
                }
            }
        }
        reached
    }

    pub(super) fn has_feature(&self, name: &str, feature: &str) -> bool {
        self.features.get(name).is_some_and(|features| features.contains(feature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
0front v0.1.0 (/house/front)|
1tokio v1.54.1|net,rt
2libc v0.2.191|
1derive v1.0.0 (proc-macro)|default

0engine v0.1.0 (/house/engine)|
1tokio v1.54.1|net,rt (*)
1rayon v1.12.0|
";

    #[test]
    fn the_closure_follows_what_was_shown_before() {
        let tree = Tree::parse(TEXT);
        assert_eq!(tree.closure("front").into_iter().collect::<Vec<_>>(), ["derive", "libc", "tokio"]);
        assert_eq!(tree.closure("engine").into_iter().collect::<Vec<_>>(), ["libc", "rayon", "tokio"]);
        assert!(tree.closure("absent").is_empty());
    }

    #[test]
    fn features_are_known() {
        let tree = Tree::parse(TEXT);
        assert!(tree.has_feature("tokio", "rt") && tree.has_feature("derive", "default"));
        assert!(!tree.has_feature("tokio", "fs") && !tree.has_feature("absent", "fs"));
    }
}
