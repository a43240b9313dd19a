//! `lethe diagnose`: what went wrong since control started, what it means and what to do about it.

use hyper::Method;
use serde_json::Value;

use crate::{call::call, failure::Failure, place::Place, say};

/// The source files of this build, one a line; `build.rs` writes it.
const FILES: &str = include_str!(concat!(env!("OUT_DIR"), "/source-files.txt"));

#[derive(clap::Args)]
#[command(
    after_help = "\
Examples:
  lethe diagnose
  lethe diagnose --json | jq .failures
  lethe diagnose location 29f3e2a1c0b45d67      the source file of a panic

Counts begin with the start of control. No content is counted, and nobody's name.",
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    place: Place,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say which source file a panic's location stands for
    #[command(after_help = "Example:\n  lethe diagnose location 29f3e2a1c0b45d67")]
    Location {
        /// The location, as `lethe diagnose` shows it: FNV-1a of the file's name, in hexadecimal
        #[arg(value_parser = hash)]
        hash: u64,
    },
}

fn hash(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "a location has up to 16 hexadecimal digits".to_owned())
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Some(Command::Location { hash }) => location(hash),
        None => crate::asynchronous(diagnose(args.place, args.json)),
    }
}

/// The source file whose name has this hash.
fn file_of(hash: u64) -> Option<&'static str> {
    FILES.lines().find(|file| lethe_confine::panic::location_hash(file) == hash)
}

fn location(hash: u64) -> Result<(), Failure> {
    let file = file_of(hash).ok_or_else(|| {
        Failure::failed(
            "none of Lethe's own source files in this build: it is another build's, a library's, or the standard library's; \
             `cargo xtask location HASH` looks through those in a checkout of that build",
        )
    })?;
    say::line(file);
    Ok(())
}

async fn diagnose(place: Place, json: bool) -> Result<(), Failure> {
    let found = call(&place, Method::GET, "/v1/diagnosis", None).await?;
    if json {
        say::line(&found.to_string());
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(["COUNT", "WHAT", "WHERE", "MEANING", "WHAT TO DO"]);
    table.add_rows(rows(&found));
    if table.is_empty() {
        say::line("nothing went wrong since control started")
    } else {
        say::table(&table)
    }
    Ok(())
}

/// Everything that is not as it should be, most frequent first within its kind.
fn rows(found: &Value) -> Vec<[String; 5]> {
    let list = |name: &str| found.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |entry: &Value, name: &str| match entry.get(name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    let row = |entry: &Value, what: &str, place: String| {
        [text(entry, "count"), text(entry, what), place, text(entry, "meaning"), text(entry, "advice")]
    };
    let mut rows = Vec::new();
    if found.get("gateways").and_then(Value::as_u64) == Some(0) {
        let (meaning, advice) =
            ("no gateway is linked to control", "look at the gateway's own host; `lethe posture` shows what runs");
        rows.push([String::new(), "no gateway".into(), String::new(), meaning.into(), advice.into()]);
    }
    for entry in list("providers").iter().filter(|entry| text(entry, "standing") != "good") {
        rows.push(row(entry, "standing", text(entry, "provider")));
    }
    for entry in list("credentials").iter().filter(|entry| !entry["failing"].is_null()) {
        let [_, _, place, meaning, advice] = row(entry, "", text(entry, "provider"));
        let what = format!("no credential ({}): {}", text(entry, "grant"), text(&entry["failing"], "failure"));
        rows.push([text(&entry["failing"], "times"), what, place, meaning, advice]);
    }
    let sorted = |name: &str| {
        let mut list = list(name);
        list.sort_by_key(|entry| std::cmp::Reverse(entry.get("count").and_then(Value::as_u64)));
        list
    };
    for entry in sorted("failures") {
        let route = match (text(&entry, "provider"), text(&entry, "model")) {
            (provider, _) if provider.is_empty() => "before a route was chosen".to_owned(),
            (provider, model) => format!("{provider}/{model}"),
        };
        rows.push(row(&entry, "failure", route));
    }
    for entry in sorted("refusals") {
        rows.push(row(&entry, "reason", "clients".to_owned()));
    }
    for entry in sorted("panics") {
        let hash = entry.get("location").and_then(Value::as_str).and_then(|hash| u64::from_str_radix(hash, 16).ok());
        let place = hash.map_or_else(
            || "other places".to_owned(),
            |hash| {
                let file = file_of(hash).map_or_else(|| format!("{hash:016x}"), str::to_owned);
                format!("{file}:{} in build {}", text(&entry, "line"), text(&entry, "build"))
            },
        );
        let meaning = "nothing of what it said is kept".to_owned();
        rows.push([
            text(&entry, "count"),
            format!("panic in the {}", text(&entry, "role")),
            place,
            meaning,
            "please report it".into(),
        ]);
    }
    for entry in sorted("ends") {
        let what = format!("{} ended", text(&entry, "role"));
        rows.push([
            text(&entry, "count"),
            what,
            text(&entry, "exit"),
            "a part ended by itself".into(),
            "see panics and `lethe posture`".into(),
        ]);
    }
    for (alarm, count) in found.get("alarms").and_then(Value::as_object).into_iter().flatten() {
        if count.as_u64() != Some(0) {
            let meaning = "what a correct gateway never does".to_owned();
            rows.push([
                count.to_string(),
                alarm.clone(),
                "alarm".into(),
                meaning,
                "find out which gateway, and isolate it".into(),
            ]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use lethe_confine::panic::location_hash;
    use serde_json::json;

    use super::{file_of, rows};

    #[test]
    fn the_files_of_this_build_are_found_by_their_hash() {
        // As the compiler names this file, in this very build.
        assert_eq!(file_of(location_hash(file!())), Some(file!()));
        let gateway = "crates/gateway/src/exchange.rs";
        assert_eq!(file_of(location_hash(gateway)), Some(gateway));
        assert_eq!(file_of(1), None);
    }

    #[test]
    fn every_kind_of_trouble_has_its_rows() {
        let found = json!({
            "gateways": 0, "alarms": { "protocol": 2, "record_gap": 0 },
            "providers": [{ "provider": "a", "standing": "good" }, { "provider": "b", "standing": "overdue" }],
            "failures": [
                { "failure": "cut", "route": 1, "provider": "a", "model": "m", "count": 1 },
                { "failure": "client_gone", "route": 0, "provider": null, "model": null, "count": 7 },
            ],
            "refusals": [{ "reason": "stale", "count": 1 }], "ends": [{ "role": "node", "exit": "sigkill", "count": 1 }],
            "panics": [{ "role": "gateway", "build": "01", "location": "02", "line": 3, "count": 1 }, { "role": "node", "count": 2 }],
        });
        let shown: Vec<String> = rows(&found).iter().map(|row| row[..3].join(" ")).collect();
        let expected = [
            " no gateway ",
            " overdue b",
            "7 client_gone before a route was chosen",
            "1 cut a/m",
            "1 stale clients",
            "2 panic in the node other places",
            "1 panic in the gateway 0000000000000002:3 in build 01",
            "1 node ended sigkill",
            "2 protocol alarm",
        ];
        assert_eq!(shown, expected);
    }
}
