//! `lethe verify`: whether a signed report is what its signer wrote.

use std::fs;
use std::path::PathBuf;

use lethe_audit::report::{open, summary};
use lethe_evidence::PublicKey;

use crate::{failure::Failure, say};

/// A report is a few hundred kilobytes; what is far larger is none.
const LARGEST: u64 = 64 << 20;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe verify lethe-audit.json
  lethe verify lethe-audit.html --key 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29
  lethe verify lethe-audit.json --json | jq .findings

Without --key the signature shows that nothing was changed since it was signed, and the key's id is printed: compare it with the one that
the signer gave you by another way. Of an HTML report the whole page is checked, not only what is signed inside it.

Exit codes: 0 good, 1 changed, not signed, or signed by another key.")]
pub(crate) struct Args {
    /// Report, JSON or HTML
    file: PathBuf,
    /// The signer's public key (64 hexadecimal digits), or a file that holds it
    #[arg(long, value_name = "KEY|FILE")]
    key: Option<String>,
    /// Print the verified report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let expected = args.key.as_deref().map(public_key).transpose()?;
    let shown = args.file.display();
    let unreadable = |error: std::io::Error| Failure::usage(format!("{shown} cannot be read: {error}"));
    if fs::metadata(&args.file).map_err(unreadable)?.len() > LARGEST {
        return Err(Failure::failed(format!("{shown} is too large for a report")));
    }
    let bytes = fs::read(&args.file).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::failed(format!("{shown} is no report: it is not text")))?;
    let (report, key) = open(&text, expected.as_ref()).map_err(|why| Failure::failed(format!("{shown}: {why}")))?;
    if args.json {
        let text = serde_json::to_string(&report).map_err(|_| Failure::failed("the report cannot be written as JSON"))?;
        say::line(&text);
    } else {
        say::line(summary(&report).trim_end());
        let who = if expected.is_some() { "the expected key" } else { "key" };
        say::line(&format!("\nsigned by {who} {} on {}, unchanged since", key.id(), report.started));
    }
    Ok(())
}

/// A key, or the file that it stands in.
fn public_key(given: &str) -> Result<PublicKey, Failure> {
    let read = || fs::read_to_string(given).ok().and_then(|text| PublicKey::parse(&text));
    PublicKey::parse(&given.to_ascii_lowercase())
        .or_else(read)
        .ok_or_else(|| Failure::usage("--key is neither 64 hexadecimal digits nor a file that holds them"))
}
