//! Which room may depend on which (ARCHITECTURE.md draws it). Normal dependencies count: a room's tests may use any other.

use crate::house::Package;

#[derive(Clone, Copy, PartialEq)]
enum Side {
    /// Sees content, or is linked to what does. Sees nothing of the control side.
    DataPlane,
    /// Knows accounts and keeps records. Never sees content.
    Control,
    /// What both sides speak of: never content.
    Shared,
    /// Tests and measures; nobody depends on it.
    Tests,
    /// This program: compiles when nothing else does.
    Tool,
}

use Side::{Control, DataPlane, Shared, Tests, Tool};

const ROOMS: &[(&str, Side)] = &[
    ("lethe", Control),
    ("lethe-audit", Control),
    ("lethe-bench", Tests),
    ("lethe-config", Control),
    ("lethe-confine", Shared),
    ("lethe-console", Control),
    ("lethe-content", DataPlane),
    ("lethe-control", Control),
    ("lethe-dataplane", DataPlane),
    ("lethe-engine", DataPlane),
    ("lethe-evidence", Control),
    ("lethe-gateway", DataPlane),
    ("lethe-guard", DataPlane),
    ("lethe-handover", Shared),
    ("lethe-http1", DataPlane),
    ("lethe-link", Shared),
    ("lethe-node", DataPlane),
    ("lethe-policy", Shared),
    ("lethe-providers", DataPlane),
    ("lethe-sigv4", Shared),
    ("lethe-store", Control),
    ("lethe-supervisor", Control),
    ("lethe-testkit", Tests),
    ("lethe-tests", Tests),
    ("lethe-tls", DataPlane),
    ("lethe-types", Shared),
    ("lethe-usage", Shared),
    ("lethe-wire", DataPlane),
    ("xtask", Tool),
];

/// Rooms that see less than their side does: all of ours that they may depend on.
const NARROW: &[(&str, &[&str])] = &[
    // It sees nothing of what it judges.
    ("lethe-audit", &["lethe-evidence"]),
    ("lethe-config", &["lethe-policy", "lethe-types"]),
    ("lethe-content", &[]),
    (
        "lethe-control",
        &[
            "lethe-evidence",
            "lethe-handover",
            "lethe-link",
            "lethe-policy",
            "lethe-sigv4",
            "lethe-store",
            "lethe-types",
            "lethe-usage",
        ],
    ),
    ("lethe-evidence", &[]),
    ("lethe-handover", &["lethe-types"]),
    ("lethe-policy", &["lethe-types"]),
    ("lethe-sigv4", &["lethe-types"]),
    ("lethe-store", &["lethe-types", "lethe-usage"]),
    ("lethe-supervisor", &["lethe-confine", "lethe-handover", "lethe-types"]),
    ("lethe-types", &[]),
    ("lethe-usage", &["lethe-types"]),
];

/// Doors between the sides, each for one reason.
const DOORS: &[(&str, &str, &str)] = &[
    ("lethe", "lethe-content", "`lethe provider test` sends synthetic text as the gateway would"),
    ("lethe", "lethe-http1", "`lethe provider test` sends synthetic text as the gateway would"),
    ("lethe", "lethe-providers", "`lethe provider test` sends synthetic text as the gateway would"),
    ("lethe", "lethe-tls", "`lethe provider test` sends synthetic text as the gateway would"),
    ("lethe", "lethe-wire", "`lethe provider test` judges the answer as the gateway would"),
];

pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages {
        let Some(side) = side_of(&package.name) else {
            findings.push(format!("{}: a room that is not on the plan; add it to xtask/src/graph/rooms.rs", package.name));
            continue;
        };
        for seen in package.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
            // Anything else is not ours.
            let Some(seen_side) = side_of(&seen.name) else { continue };
            if !may_see(&package.name, side, &seen.name, seen_side) {
                findings.push(format!("{} depends on {}, which its place in the house does not allow", package.name, seen.name));
            }
        }
    }
    findings
}

fn side_of(name: &str) -> Option<Side> {
    ROOMS.iter().find(|(room, _)| *room == name).map(|(_, side)| *side)
}

fn may_see(name: &str, side: Side, seen: &str, seen_side: Side) -> bool {
    if DOORS.iter().any(|(from, to, _)| *from == name && *to == seen) {
        return true;
    }
    if let Some((_, narrow)) = NARROW.iter().find(|(room, _)| *room == name) {
        return narrow.contains(&seen);
    }
    match side {
        DataPlane => matches!(seen_side, DataPlane | Shared),
        Control => matches!(seen_side, Control | Shared),
        Shared => seen_side == Shared,
        Tests => seen_side != Tool,
        Tool => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn findings(packages: &str) -> Vec<String> {
        check(&serde_json::from_str::<Vec<Package>>(packages).unwrap())
    }

    fn one(name: &str, sees: &str, kind: &str) -> Vec<String> {
        findings(&format!(r#"[{{"name": "{name}", "dependencies": [{{"name": "{sees}", "kind": {kind}}}]}}]"#))
    }

    #[test]
    fn the_planned_ways_are_open() {
        for (name, sees) in [
            ("lethe-gateway", "lethe-wire"),
            ("lethe-gateway", "lethe-link"),
            ("lethe-control", "lethe-store"),
            ("lethe", "lethe-control"),
            ("lethe", "lethe-http1"),
            ("lethe-bench", "lethe-testkit"),
            ("lethe-store", "sqlx"),
        ] {
            assert_eq!(one(name, sees, "null"), Vec::<String>::new());
        }
    }

    #[test]
    fn the_walls_hold() {
        for (name, sees) in [
            ("lethe-gateway", "lethe-store"),
            ("lethe-dataplane", "lethe-supervisor"),
            ("lethe-node", "lethe-config"),
            ("lethe-control", "lethe-content"),
            ("lethe-control", "lethe-gateway"),
            ("lethe-store", "lethe-control"),
            ("lethe-link", "lethe-content"),
            ("lethe-usage", "lethe-policy"),
            ("lethe-gateway", "lethe-testkit"),
            ("xtask", "lethe-types"),
        ] {
            assert_eq!(one(name, sees, "null").len(), 1, "{name} → {sees}");
        }
    }

    #[test]
    fn tests_of_a_room_may_use_any_other() {
        assert_eq!(one("lethe-gateway", "lethe-testkit", r#""dev""#), Vec::<String>::new());
    }

    #[test]
    fn an_unplanned_room_fails() {
        assert_eq!(findings(r#"[{"name": "lethe-utils", "dependencies": []}]"#).len(), 1);
    }
}
