//! The metrics page: what gateways tell is added up, and nothing can add a series that the catalogue does not have.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "the harness is shared with the other tests")]

mod harness;

use harness::{Control, INSTANCE, LONG, record, start, usage};
use lethe_control::start::ControlStart;
use lethe_link::{Beat, Counted, Tally, Up};
use lethe_types::{Failure, Refused, RouteId};
use lethe_usage::InstanceId;
use tempfile::TempDir;
use tokio::time::timeout;

async fn page(control: &Control) -> String {
    let answer = control.ask("GET", "/metrics", "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    answer.body.as_str().unwrap().to_owned()
}

/// The page once it has this line.
async fn page_with(control: &Control, line: &str) -> String {
    let reached = async {
        loop {
            let page = page(control).await;
            if page.lines().any(|found| found == line) {
                return page;
            }
            tokio::task::yield_now().await;
        }
    };
    match timeout(LONG, reached).await {
        Ok(page) => page,
        Err(_) => panic!("never {line}: {}", page(control).await),
    }
}

fn failure(route: u32, failure: Failure, total: u64) -> Up {
    Up::Tally(Tally { of: Counted::Failure(RouteId(route), failure), total })
}

fn series(page: &str) -> Vec<&str> {
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series)
        .collect()
}

#[tokio::test]
async fn totals_of_every_start_add_up_however_often_they_come() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let (mut gateway, _, snapshot) = control.link(INSTANCE).await;
    let account = snapshot.keys[0].account;
    gateway.say(&[failure(1, Failure::Cut, 2), failure(1, Failure::Cut, 2), record(&usage(account), 1)]).await;
    gateway.hear_ack(1).await;
    drop(gateway);
    // The same start links again and tells everything anew; then another start begins from nothing.
    let (mut gateway, ..) = control.link(INSTANCE).await;
    let refused = Up::Tally(Tally { of: Counted::Refused(Refused::Stale), total: 1 });
    let beat = Up::Heartbeat(Beat { started: 5, finished: 4, pending: 3 });
    gateway.say(&[failure(1, Failure::Cut, 3), record(&usage(account), 1), refused, beat]).await;
    let (mut other, ..) = control.link(InstanceId([8; 12])).await;
    other.say(&[failure(1, Failure::Cut, 4), failure(0, Failure::ClientGone, 1)]).await;

    let route = "route=\"1\",provider=\"engine\",model=\"small\"";
    page_with(&control, &format!("lethe_failures_total{{failure=\"cut\",{route}}} 7")).await;
    page_with(&control, "lethe_requests_started_total 5").await;
    let page = page_with(&control, "lethe_failures_total{failure=\"client_gone\",route=\"0\",provider=\"\",model=\"\"} 1").await;
    for line in [
        format!("lethe_requests_total{{operation=\"chat\",{route},status=\"2xx\"}} 1"),
        format!("lethe_units_total{{operation=\"chat\",{route},direction=\"input\",unit=\"tokens\"}} 11"),
        format!("lethe_first_byte_seconds_bucket{{operation=\"chat\",{route},le=\"0.025\"}} 1"),
        format!("lethe_request_duration_seconds_bucket{{operation=\"chat\",{route},le=\"0.025\"}} 0"),
        format!("lethe_request_duration_seconds_sum{{operation=\"chat\",{route}}} 0.05"),
        "lethe_refused_total{reason=\"stale\"} 1".to_owned(),
        "lethe_gateways_linked 2".to_owned(),
        "lethe_records_pending 3".to_owned(),
        "lethe_requests_open 1".to_owned(),
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    drop((gateway, other));
    control.end().await;
}

#[tokio::test]
async fn a_gateway_cannot_invent_a_series() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let (mut gateway, ..) = control.link(INSTANCE).await;
    // Everything there is for the one route that exists, and then routes that do not.
    let all: Vec<Up> = Failure::ALL.into_iter().map(|of| failure(1, of, 1)).collect();
    gateway.say(&all).await;
    let before =
        page_with(&control, "lethe_failures_total{failure=\"unauthorized\",route=\"1\",provider=\"engine\",model=\"small\"} 1")
            .await;
    let invented: Vec<Up> = (2..502).map(|route| failure(route, Failure::Cut, u64::from(route))).collect();
    gateway.say(&invented).await;
    control.expect_alarm("refused_tally", 500).await;
    let after = page(&control).await;
    assert_eq!(series(&after), series(&before));
    assert_eq!(series(&after).iter().filter(|series| series.starts_with("lethe_failures_total")).count(), Failure::ALL.len());
    drop(gateway);
    control.end().await;
}

#[tokio::test]
async fn an_operators_names_are_escaped() {
    let folder = TempDir::new().unwrap();
    let mut setup: ControlStart = start(folder.path());
    setup.models[0].id = "a\"} 1\nlethe_forged{x=\"\\".into();
    let control = Control::start_with(setup, &folder).await;
    let (mut gateway, ..) = control.link(INSTANCE).await;
    gateway.say(&[failure(1, Failure::Tls, 1)]).await;
    let line = r#"lethe_failures_total{failure="tls",route="1",provider="engine",model="a\"} 1\nlethe_forged{x=\"\\"} 1"#;
    let page = page_with(&control, line).await;
    assert!(!page.lines().any(|line| line.starts_with("lethe_forged")));
    let found = control.ask("GET", "/v1/diagnosis", "").await.body;
    assert_eq!((&found["failures"][0]["failure"], &found["failures"][0]["count"]), (&"tls".into(), &1.into()), "{found}");
    assert!(found["failures"][0]["advice"].as_str().is_some_and(|advice| !advice.is_empty()));
    drop(gateway);
    control.end().await;
}
