//! `lethe records`: the operational metadata held (policy 2.1), all of it and nothing else.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{call::call, failure::Failure, place::Place, say};

/// Records asked for at once.
const PAGE: u32 = 1000;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe records
  lethe records --json | jq .status
  lethe records --url https://10.0.0.5:8443 --token-file operator.token")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// One JSON object per line, with every fact that is held
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Page {
    records: Vec<Value>,
    next: u64,
    /// Requests of vanished gateways, of which no record will ever tell.
    unaccounted_requests: u64,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut after = 0;
    let mut table = table();
    let mut unaccounted;
    loop {
        let answer = call(&args.place, Method::GET, &format!("/v1/records?after={after}&limit={PAGE}"), None).await?;
        let page: Page =
            serde_json::from_value(answer).map_err(|_| Failure::failed("the records are of another version of Lethe"))?;
        unaccounted = page.unaccounted_requests;
        if page.records.is_empty() {
            break;
        }
        for record in &page.records {
            if args.json {
                say::line(&without_number(record).to_string());
            } else {
                table.add_row(row(record));
            }
        }
        if page.next <= after {
            break;
        }
        after = page.next;
    }
    if !args.json {
        if table.is_empty() { say::line("nothing is held") } else { say::table(&table) }
    }
    match unaccounted {
        0 => {}
        count if args.json => say::line(&json!({ "unaccounted_requests": count }).to_string()),
        count => say::line(&format!(
            "{count} requests are unaccounted: gateways that vanished had begun them, and no record tells of them. They are billed to nobody."
        )),
    }
    Ok(())
}

/// A record without its number in the database, which is for paging and no fact of the policy.
fn without_number(record: &Value) -> Value {
    let mut record = record.clone();
    if let Some(members) = record.as_object_mut() {
        members.remove("id");
    }
    record
}

fn table() -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
        "TIME (UTC)",
        "OPERATION",
        "ROUTE",
        "INPUT",
        "OUTPUT",
        "ACCOUNT",
        "STATUS",
        "TOTAL ms",
        "FIRST BYTE ms",
        "KIND",
    ]);
    table
}

/// The policy's facts, in the policy's order.
fn row(record: &Value) -> Vec<String> {
    let text = |name: &str| match record.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let route = match (record.get("provider"), record.get("model")) {
        (Some(Value::String(provider)), Some(Value::String(model))) => format!("{provider}/{model}"),
        _ => text("route"),
    };
    vec![
        record.get("at_ms").and_then(Value::as_i64).map_or_else(|| "-".to_owned(), time),
        text("operation"),
        route,
        text("input_units"),
        text("output_units"),
        text("account"),
        text("status"),
        text("total_ms"),
        text("first_byte_ms"),
        text("kind"),
    ]
}

/// Milliseconds since the epoch, as people read it.
pub(crate) fn time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| "-".to_owned(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{row, time};

    #[test]
    fn a_row_shows_the_facts_of_the_policy() {
        let record = json!({
            "id": 1, "at_ms": 1_790_812_800_123_u64, "operation": "chat", "route": 4, "provider": "openai", "model": "gpt-5-mini",
            "input_units": 12, "output_units": 34, "account": "acct_0102030405060708", "status": 200, "total_ms": 56, "first_byte_ms": 7, "kind": "settle",
        });
        let expected = [
            "2026-10-01T00:00:00.123Z",
            "chat",
            "openai/gpt-5-mini",
            "12",
            "34",
            "acct_0102030405060708",
            "200",
            "56",
            "7",
            "settle",
        ];
        assert_eq!(row(&record), expected);
        assert_eq!(row(&json!({ "route": 0, "provider": null }))[2], "0");
        assert_eq!(time(i64::MAX), "-");
    }
}
