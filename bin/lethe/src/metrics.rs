//! `lethe metrics`: the page that Prometheus would get.

use hyper::Method;

use crate::{call::ask, failure::Failure, place::Place, say};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lethe metrics
  lethe metrics | grep lethe_failures_total

Prometheus scrapes the same page at /metrics of the console, with an operator token as bearer.")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let page = ask(&args.place, Method::GET, "/metrics", None).await?;
    say::line(String::from_utf8_lossy(&page).trim_end());
    Ok(())
}
