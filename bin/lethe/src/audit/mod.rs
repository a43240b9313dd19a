//! `lethe audit`: prove that nothing is kept, by Lethe or by anything else that answers for AI models.

mod certificates;
mod live;
mod own;
mod running;
mod subject;
mod ways_out;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use lethe_audit::report::{Report, html, schema, seal, summary};
use lethe_evidence::SigningKey;

use crate::{failure::Failure, say};
use live::Live;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe audit                                        start a Lethe of its own, exercise it, look everywhere
  lethe audit --full --out report/                   every row of the matrix
  lethe audit --state /var/lib/lethe                 a running Lethe, with its own providers
  lethe audit --target http://127.0.0.1:4000 --key env:GATEWAY_KEY --model gpt-5-mini \\
      --pid \"$(pgrep -f litellm)\" --watch /var/log/gateway --provider 127.0.0.1:9100
  lethe audit --target http://127.0.0.1:8081 --spawn 'nginx -c $PWD/nginx.conf'    started by the audit
  lethe verify lethe-audit.html

Markers are sent through every endpoint and outcome and then searched for in files, output, logs, memory, databases and on the network. The
scripted provider answers in the target's place of upstream: point the target's base URL at --provider. A command of --spawn finds it in
LETHE_AUDIT_PROVIDER (and OPENAI_BASE_URL, ANTHROPIC_BASE_URL), and the telemetry sink in OTEL_EXPORTER_OTLP_ENDPOINT.
What needs root is done as root only; the report says what was not looked at.

Exit codes: 0 nothing found (complete, or marked partial), 1 findings, 2 no verdict, 64 wrong usage.")]
pub(crate) struct Args {
    /// Base URL of the gateway or server to audit; default: a Lethe that the audit starts itself
    #[arg(long, value_name = "URL", conflicts_with = "state")]
    target: Option<String>,
    /// State folder of a running Lethe to audit, with the models that it has
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// API key of the target: env:NAME, file:PATH, or the key itself, which other users can see in the process list
    #[arg(long, value_name = "KEY", requires = "target")]
    key: Option<String>,
    /// Model to ask for
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// What the target's clients speak
    #[arg(long, value_enum, default_value_t = Dialect::Openai, requires = "target")]
    dialect: Dialect,
    /// Further authorities (PEM) for the target's certificate
    #[arg(long, value_name = "FILE", requires = "target")]
    ca: Option<PathBuf>,
    /// Header of every request, "name: value"; {provider} in it becomes the scripted provider's URL
    #[arg(long, value_name = "HEADER", requires = "target")]
    header: Vec<String>,
    /// Address for the scripted provider; port 0 picks a free one. Without it and --spawn, the target's own provider answers
    #[arg(long, value_name = "ADDR", requires = "target")]
    provider: Option<SocketAddr>,
    /// Start this command (sh -c) and audit it
    #[arg(long, value_name = "COMMAND", requires = "target", conflicts_with = "pid")]
    spawn: Option<String>,
    /// Processes to look into, with their children
    #[arg(long, value_name = "N", requires = "target", value_delimiter = ' ')]
    pid: Vec<u32>,
    /// Further folders to watch
    #[arg(long, value_name = "DIR")]
    watch: Vec<PathBuf>,
    /// PostgreSQL database that the target uses
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Redis that the target uses
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Also end the process that handles a request, by a signal, as a crash would; a Lethe of the audit's own is ended without being asked
    #[arg(long)]
    crash: bool,
    /// Every row of the matrix instead of one of each kind
    #[arg(long)]
    full: bool,
    /// Only rows whose endpoint or outcome begins so
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Folder for lethe-audit.json and lethe-audit.html
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Ed25519 key that signs the report (PKCS #8); made if it is not there. Default: lethe-audit.key in --out
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Print the signed report instead of a summary
    #[arg(long)]
    json: bool,
    /// Print the report's JSON Schema, and do nothing else
    #[arg(long)]
    schema: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Dialect {
    Openai,
    Anthropic,
    Gemini,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    if args.schema {
        say::line(schema().trim_end());
        return Ok(());
    }
    // Before anything is started: a report that cannot be signed or written is no report.
    fs::create_dir_all(&args.out)
        .map_err(|error| Failure::usage(format!("--out: {} cannot be made: {error}", args.out.display())))?;
    let key_file = args.signing_key.clone().unwrap_or_else(|| args.out.join("lethe-audit.key"));
    let key =
        SigningKey::of_file(&key_file).map_err(|why| Failure::usage(format!("--signing-key: {}: {why}", key_file.display())))?;
    let subject = subject::of(&args)?;
    let report = {
        let live = Live::start();
        lethe_audit::run::run(subject.audit, &mut |step| live.show(&step)).map_err(|why| Failure::no_verdict(why.to_string()))?
    };
    drop(subject.own);
    write(&args, &report, &key)
}

fn write(args: &Args, report: &Report, key: &SigningKey) -> Result<(), Failure> {
    let statement = seal(report, key).map_err(|_| Failure::failed("the report cannot be written as JSON"))?;
    let page = html(report, &statement);
    for (name, text) in [("lethe-audit.json", &statement), ("lethe-audit.html", &page)] {
        let path = args.out.join(name);
        fs::write(&path, text).map_err(|error| Failure::failed(format!("{} cannot be written: {error}", path.display())))?;
    }
    if args.json {
        say::line(&statement);
    } else {
        say::line(summary(report).trim_end());
        let out = args.out.display();
        say::line(&format!("\n{out}/lethe-audit.html, {out}/lethe-audit.json, signed by {}", key.public().id()));
    }
    match report.verdict.exit_code() {
        0 => Ok(()),
        code => Err(Failure::told(code)),
    }
}
