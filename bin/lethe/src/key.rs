//! `lethe key`: API keys of a running Lethe.

use hyper::Method;
use serde_json::{Value, json};

use crate::{call::call, failure::Failure, place::Place, records::time, say};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe key create --name ci
  lethe key create --name clinic --region eu
  lethe key list
  lethe key revoke 3")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make a key; it is shown once and kept as a hash only
    #[command(after_help = "Examples:\n  lethe key create --name ci\n  lethe key create --name clinic --region eu")]
    Create {
        #[command(flatten)]
        place: Place,
        /// What you will recognise it by
        #[arg(long, value_name = "NAME", default_value = "key")]
        name: String,
        /// Serve its requests by providers with this region only
        #[arg(long, value_name = "REGION")]
        region: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// List keys, revoked ones too
    #[command(after_help = "Example:\n  lethe key list --json")]
    List {
        #[command(flatten)]
        place: Place,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key: in force at every linked gateway within a second
    #[command(after_help = "Example:\n  lethe key revoke 3")]
    Revoke {
        #[command(flatten)]
        place: Place,
        /// Number of the key, as `lethe key list` shows it
        id: u32,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Create { place, name, region, json } => {
            let key = call(&place, Method::POST, "/v1/keys", Some(&json!({ "name": name, "region": region }))).await?;
            if json {
                say::line(&key.to_string());
            } else {
                say::line(&text(&key, "key"));
                say::progress(&format!("key {} is shown this once; revoke it with `lethe key revoke {0}`", text(&key, "id")));
            }
        }
        Command::List { place, json } => {
            let keys = list(&place).await?;
            if json {
                keys.iter().for_each(|key| say::line(&key.to_string()));
            } else {
                say::table(&table(&keys));
            }
        }
        Command::Revoke { place, id, json } => {
            let revoked = call(&place, Method::DELETE, &format!("/v1/keys/{id}"), None).await?;
            say::line(&if json { revoked.to_string() } else { format!("key {id} is revoked") });
        }
    }
    Ok(())
}

/// Every key, revoked ones too.
async fn list(place: &Place) -> Result<Vec<Value>, Failure> {
    let (mut keys, mut after) = (Vec::new(), 0);
    loop {
        let page = page(place, after, None).await?;
        let Some(last) = page.last().and_then(|key| key.get("id")).and_then(Value::as_u64) else { return Ok(keys) };
        keys.extend(page);
        after = last;
    }
}

/// Keys after the key with the number `after`, as many as one answer holds, or up to `limit`.
pub(crate) async fn page(place: &Place, after: u64, limit: Option<u32>) -> Result<Vec<Value>, Failure> {
    let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
    let mut answer = call(place, Method::GET, &format!("/v1/keys?after={after}{limit}"), None).await?;
    match answer.get_mut("keys").map(Value::take) {
        Some(Value::Array(keys)) => Ok(keys),
        _ => Err(Failure::failed("the keys are of another version of Lethe")),
    }
}

/// Number of a key that is in force, if it is one.
pub(crate) fn in_force(key: &Value) -> Option<u64> {
    if key.get("revoked_ms").is_none_or(Value::is_null) { key.get("id")?.as_u64() } else { None }
}

fn table(keys: &[Value]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header([
        "ID",
        "NAME",
        "ACCOUNT",
        "REGION",
        "CREATED (UTC)",
        "REVOKED (UTC)",
    ]);
    for key in keys {
        let at = |name: &str| key.get(name).and_then(Value::as_i64).map_or_else(|| "-".to_owned(), time);
        let [id, name, account, region] = ["id", "name", "account", "region"].map(|name| text(key, name));
        table.add_row([id, name, account, region, at("created_ms"), at("revoked_ms")]);
    }
    table
}

fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{in_force, table};

    #[test]
    fn revoked_keys_are_not_in_force() {
        assert_eq!(in_force(&json!({ "id": 3, "revoked_ms": null })), Some(3));
        assert_eq!(in_force(&json!({ "id": 3 })), Some(3));
        assert_eq!(in_force(&json!({ "id": 3, "revoked_ms": 5 })), None);
    }

    #[test]
    fn a_listed_key_has_a_line_with_its_region() {
        let key =
            |region| json!({ "id": 3, "name": "ci", "account": "acct_1", "created_ms": 0, "revoked_ms": null, "region": region });
        let table = table(&[key(Some("eu-west")), key(None)]).to_string();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert_eq!(lines[0], ["ID", "NAME", "ACCOUNT", "REGION", "CREATED", "(UTC)", "REVOKED", "(UTC)"]);
        assert_eq!(lines[1], ["3", "ci", "acct_1", "eu-west", "1970-01-01T00:00:00.000Z", "-"]);
        assert_eq!(lines[2], ["3", "ci", "acct_1", "-", "1970-01-01T00:00:00.000Z", "-"]);
    }
}
