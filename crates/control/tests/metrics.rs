//! The metrics page: what gateways tell is added up, and nothing can add a series that the catalogue does not have.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "the harness is shared with the other tests")]

mod harness;

use harness::{Control, INSTANCE, LONG, record, start, usage};
use lethe_control::start::ControlStart;
use lethe_link::{Beat, Counted, Gauge, Level, Routed, Tally, Up};
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

fn routed(route: u32, routed: Routed, total: u64) -> Up {
    Up::Tally(Tally { of: Counted::Routed(RouteId(route), routed), total })
}

fn level(of: Gauge, route: u32, value: u32) -> Up {
    Up::Level(Level { of, route: RouteId(route), value })
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
    let all = |route, total| {
        let failures = Failure::ALL.into_iter().map(move |of| failure(route, of, total));
        let steps = Routed::ALL.into_iter().map(move |of| routed(route, of, total));
        failures.chain(steps).chain(Gauge::ALL.into_iter().map(move |of| level(of, route, 1)))
    };
    gateway.say(&all(1, 1).collect::<Vec<_>>()).await;
    let before = page_with(&control, "lethe_provider_requests_open{provider=\"engine\"} 1").await;
    // No step was made and no provider is seen before there is a route.
    let mut invented = vec![routed(0, Routed::Attempt, 7), level(Gauge::RequestsOpen, 0, 7)];
    invented.extend((2..102).flat_map(|route| all(route, u64::from(route))));
    gateway.say(&invented).await;
    control.expect_alarm("refused_tally", invented.len().try_into().unwrap()).await;
    let after = page(&control).await;
    assert_eq!(series(&after), series(&before));
    let count = |start: &str| series(&after).iter().filter(|series| series.starts_with(start)).count();
    assert_eq!(count("lethe_failures_total"), Failure::ALL.len());
    for family in ["lethe_attempts_total{", "lethe_provider_circuits_open{", "lethe_provider_requests_open{"] {
        assert_eq!(count(family), 1, "{family}");
    }
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

#[tokio::test]
async fn steps_add_up_by_route_and_providers_are_as_the_linked_gateways_see_them() {
    let folder = TempDir::new().unwrap();
    let mut setup: ControlStart = start(folder.path());
    // A second provider, to which two routes lead.
    let mut other = setup.providers[0].clone();
    other.provider.id = "other".into();
    setup.providers.push(other);
    for id in ["large", "larger"] {
        let mut model = setup.models[0].clone();
        model.id = id.into();
        model.routes[0].provider = "other".into();
        setup.models.push(model);
    }
    let control = Control::start_with(setup, &folder).await;
    let page_of = async |lines: &[&str]| {
        let (last, others) = lines.split_last().unwrap();
        let page = page_with(&control, last).await;
        others.iter().for_each(|line| assert!(page.lines().any(|found| found == *line), "{line}\n{page}"));
    };
    // Providers are there before anybody has asked one.
    page_of(&[
        "lethe_provider_circuit_opens_total{provider=\"engine\"} 0",
        "lethe_provider_circuits_open{provider=\"other\"} 0",
        "lethe_provider_requests_open{provider=\"engine\"} 0",
    ])
    .await;

    let (mut first, ..) = control.link(INSTANCE).await;
    first
        .say(&[
            routed(1, Routed::Attempt, 9),
            routed(1, Routed::Fallback, 3),
            routed(1, Routed::Retry, 2),
            routed(2, Routed::CircuitOpened, 2),
            routed(3, Routed::CircuitOpened, 1),
            level(Gauge::CircuitOpen, 2, 1),
            level(Gauge::RequestsOpen, 1, 5),
        ])
        .await;
    let (mut second, ..) = control.link(InstanceId([8; 12])).await;
    second.say(&[routed(1, Routed::Attempt, 1), level(Gauge::RequestsOpen, 1, 2), level(Gauge::CircuitOpen, 2, 1)]).await;
    let route = "route=\"1\",provider=\"engine\",model=\"small\"";
    page_of(&[
        &format!("lethe_attempts_total{{{route}}} 10"),
        &format!("lethe_fallbacks_total{{{route}}} 3"),
        &format!("lethe_retries_total{{{route}}} 2"),
        "lethe_provider_circuit_opens_total{provider=\"engine\"} 0",
        "lethe_provider_circuit_opens_total{provider=\"other\"} 3",
        "lethe_provider_circuits_open{provider=\"engine\"} 0",
        "lethe_provider_requests_open{provider=\"engine\"} 7",
        "lethe_provider_requests_open{provider=\"other\"} 0",
        "lethe_provider_circuits_open{provider=\"other\"} 2",
    ])
    .await;

    // One closes it; of the other, which has gone, nothing is known any more, but what it counted stays.
    first.say(&[level(Gauge::CircuitOpen, 2, 0), level(Gauge::RequestsOpen, 1, 4)]).await;
    drop(second);
    page_of(&["lethe_gateways_linked 1"]).await;
    page_of(&[
        &format!("lethe_attempts_total{{{route}}} 10"),
        "lethe_provider_circuits_open{provider=\"other\"} 0",
        "lethe_provider_requests_open{provider=\"engine\"} 4",
    ])
    .await;
    // It goes wrong nowhere that a request went another way.
    assert_eq!(control.ask("GET", "/v1/diagnosis", "").await.body["failures"], serde_json::json!([]));
    drop(first);
    control.end().await;
}

#[tokio::test]
async fn every_metric_is_in_the_documentation_with_its_labels() {
    let folder = TempDir::new().unwrap();
    let control = Control::start(&folder).await;
    let (mut gateway, ..) = control.link(INSTANCE).await;
    gateway.say(&[failure(1, Failure::Cut, 1), routed(1, Routed::Attempt, 1)]).await;
    let page = page_with(&control, "lethe_attempts_total{route=\"1\",provider=\"engine\",model=\"small\"} 1").await;
    let documented = include_str!("../../../docs/diagnosis.md");
    let families: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(families.len() > 25, "{families:?}");
    for family in families {
        let row = documented.lines().find(|line| line.starts_with("| `lethe_") && line.contains(&format!("`{family}`")));
        let row = row.unwrap_or_else(|| panic!("{family} is not in the table"));
        for series in series(&page).iter().filter(|series| series.starts_with(&format!("{family}{{"))) {
            let (_, labels) = series.split_once('{').unwrap();
            for label in labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name) {
                assert!(row.contains(&format!("`{label}`")), "{family} {label}: {row}");
            }
        }
    }
    drop(gateway);
    control.end().await;
}
