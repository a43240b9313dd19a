//! Who may see whom: the rooms of this house, and what the data plane links.

mod banned;
mod reviewed;
mod rooms;
mod tree;

use crate::build::DATA_PLANE;
use crate::graph::tree::Tree;
use crate::house::{Failed, House, output, read};

const TARGET: &str = "x86_64-unknown-linux-gnu";

pub(crate) fn run(house: &House, bless: bool) -> Result<(), Failed> {
    let mut findings = rooms::check(&house.packages);
    // Not from `cargo metadata`: its graph knows nothing of the features that one build unites, and lists what is never compiled.
    let mut command =
        house.cargo(&["tree", "--locked", "--edges", "normal", "--target", TARGET, "--prefix", "depth", "--format", "{p}|{f}"]);
    let tree = Tree::parse(&output(command.args(DATA_PLANE))?);
    for executable in ["lethe-dataplane", "lethe-engine"] {
        let linked = tree.closure(executable);
        if linked.is_empty() {
            findings.push(format!("{executable} is not in the tree that cargo shows"));
        }
        findings.extend(banned::check(executable, &tree, &linked));
        let name = format!("xtask/reviewed/{executable}.txt");
        let path = house.root.join(&name);
        let mut list = read(&path)?;
        if bless {
            list = reviewed::bless(&list, &linked);
            std::fs::write(&path, &list).map_err(|error| Failed::new(format!("{name}: {error}")))?;
        }
        findings.extend(reviewed::check(&list, &linked).into_iter().map(|finding| format!("{name}: {finding}")));
    }
    Failed::unless_empty("graph: the house is not as it was reviewed", &findings)?;
    println!(
        "graph: rooms as planned, {} crates in lethe-dataplane, {} in lethe-engine, each reviewed",
        tree.closure("lethe-dataplane").len(),
        tree.closure("lethe-engine").len()
    );
    Ok(())
}
