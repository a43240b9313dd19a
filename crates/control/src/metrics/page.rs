//! `GET /metrics`: everything that an operator may want to watch, in one page.

use lethe_link::Counted;
use lethe_policy::Terms;
use lethe_store::StoreError;
use lethe_types::{Millis, RouteId};

use super::booked::{BOUNDS, Booked, CLASSES, Series};
use super::family::{Family, Kind, Page};
use super::lock;
use super::routing::routing;
use crate::Alarm;
use crate::catalogue::Catalogue;
use crate::operator::Operator;

/// Everything as it is now.
///
/// # Errors
/// The database cannot be read.
pub(crate) async fn page(operator: &Operator) -> Result<Page, StoreError> {
    // How many records are held is not here: counting them takes the longer the more there are. `/v1/status` does.
    let unaccounted = operator.store.unaccounted().await?;
    let now = operator.clock.now();
    let mut page = Page::default();
    itself(&mut page, operator);
    requests(&mut page, operator);
    routing(&mut page, operator);
    failures(&mut page, operator);
    gateways(&mut page, operator);
    page.family("lethe_unaccounted_requests", Kind::Gauge, "Requests of vanished gateways whose records never came.")
        .put(&[], unaccounted);
    page.family("lethe_ledger_durable", Kind::Gauge, "Whether records can be committed: 0 while writes to the database fail.")
        .put(&[], u8::from(operator.durable.is_good()));
    terms(&mut page, &operator.catalogue.now(), now);
    credentials(&mut page, operator);
    exports(&mut page, operator);
    parts(&mut page, operator);
    Ok(page)
}

fn itself(page: &mut Page, operator: &Operator) {
    let build = format!("{:016x}", operator.build);
    page.family("lethe_build_info", Kind::Gauge, "Version and hash of the build of control; always 1.")
        .put(&[("version", env!("CARGO_PKG_VERSION")), ("build", &build)], 1_u64);
    page.family("lethe_start_time_seconds", Kind::Gauge, "When control started, in seconds since the epoch.")
        .put(&[], seconds(operator.started));
    page.family("lethe_snapshot_version", Kind::Gauge, "Version of the state that gateways are sent; rises with each change.")
        .put(&[], operator.keys.version());
}

/// Puts one series into a family, under these labels.
type Put<'a> = &'a mut dyn FnMut(&mut Family, &[(&'static str, &str)], &Series);

fn requests(page: &mut Page, operator: &Operator) {
    let catalogue = operator.catalogue.now();
    let Booked(series) = lock(&operator.meters.booked).clone();
    let each = |name, kind, help: &str, page: &mut Page, put: Put<'_>| {
        let family = page.family(name, kind, help);
        for ((operation, route), series) in &series {
            let route = Route::new(&catalogue, *route);
            put(family, &route.labels(("operation", operation.name())), series);
        }
    };
    let help = "Requests whose record is booked, by class of the status that the client got; 499 are clients that went away.";
    each("lethe_requests_total", Kind::Counter, help, page, &mut |family, labels, series| {
        for (class, count) in CLASSES.into_iter().zip(series.requests).filter(|(_, count)| *count > 0) {
            family.put(&[labels, &[("status", class)]].concat(), count);
        }
    });
    let help = "Tokens booked, reported by providers or estimated.";
    each("lethe_units_total", Kind::Counter, help, page, &mut |family, labels, series| {
        for (direction, count) in [("input", series.input_tokens), ("output", series.output_tokens)] {
            family.put(&[labels, &[("direction", direction), ("unit", "tokens")]].concat(), count);
        }
    });
    let help = "From a request's first byte to its answer's last.";
    each("lethe_request_duration_seconds", Kind::Histogram, help, page, &mut |family, labels, series| {
        family.histogram(labels, &BOUNDS, &series.total.counts, series.total.sum_seconds());
    });
    let help = "From a request's first byte to its answer's first.";
    each("lethe_first_byte_seconds", Kind::Histogram, help, page, &mut |family, labels, series| {
        family.histogram(labels, &BOUNDS, &series.first_byte.counts, series.first_byte.sum_seconds());
    });
}

fn failures(page: &mut Page, operator: &Operator) {
    let catalogue = operator.catalogue.now();
    let counted = operator.meters.counted();
    let help = "Attempts at providers that failed, by route and code; `lethe diagnose` says what each means.";
    let family = page.family("lethe_failures_total", Kind::Counter, help);
    for (of, total) in &counted {
        if let Counted::Failure(route, failure) = of {
            family.put(&Route::new(&catalogue, *route).labels(("failure", failure.name())), total);
        }
    }
    let help = "Connections and requests that were refused before any provider was asked, by the code that clients see.";
    let family = page.family("lethe_refused_total", Kind::Counter, help);
    for (of, total) in &counted {
        if let Counted::Refused(refused) = of {
            family.put(&[("reason", refused.name())], total);
        }
    }
    let family = page.family("lethe_alarms_total", Kind::Counter, "What a correct gateway never does.");
    for alarm in Alarm::ALL {
        family.put(&[("alarm", alarm.name())], operator.alarms.count(alarm));
    }
}

fn gateways(page: &mut Page, operator: &Operator) {
    let linked = operator.links.list();
    let told = lock(&operator.meters.told);
    let (started, finished) = (told.started, told.finished);
    drop(told);
    page.family("lethe_gateways_linked", Kind::Gauge, "Gateways with a link to control.").put(&[], linked.len());
    let heard = linked.iter().map(|linked| linked.heard).min();
    let family =
        page.family("lethe_gateway_heard_timestamp_seconds", Kind::Gauge, "When the longest silent linked gateway was heard.");
    if let Some(heard) = heard {
        family.put(&[], seconds(heard));
    }
    let pending: u64 = linked.iter().map(|linked| u64::from(linked.beat.pending)).sum();
    page.family("lethe_records_pending", Kind::Gauge, "Records that gateways hold for control.").put(&[], pending);
    let open: u64 = linked.iter().map(|linked| linked.beat.started.saturating_sub(linked.beat.finished)).sum();
    page.family("lethe_requests_open", Kind::Gauge, "Requests that linked gateways are serving.").put(&[], open);
    page.family("lethe_requests_started_total", Kind::Counter, "Requests that gateways have begun.").put(&[], started);
    page.family("lethe_requests_finished_total", Kind::Counter, "Requests that have left their record.").put(&[], finished);
}

fn terms(page: &mut Page, catalogue: &Catalogue, now: Millis) {
    let help = "Seconds until a provider's terms are due for review; below 0 its routes do not serve.";
    let family = page.family("lethe_provider_review_due_seconds", Kind::Gauge, help);
    for provider in catalogue.hosted() {
        if let Some(terms) = &provider.terms {
            let due = (i128::from(terms.review_due) - i128::from(now)) / 1000;
            family.put(&[("provider", &provider.id)], i64::try_from(due).unwrap_or(i64::MAX));
        }
    }
    let help = "Whether a provider's terms let it serve: 1 for its standing now.";
    let family = page.family("lethe_provider_terms", Kind::Gauge, help);
    for provider in catalogue.hosted() {
        let standing = Terms::standing(provider.terms.as_ref(), now);
        family.put(&[("provider", &provider.id), ("standing", standing.name())], 1_u64);
    }
}

fn credentials(page: &mut Page, operator: &Operator) {
    let shown = operator.broker.shown();
    let help = "When the credential that control obtained for a provider ends; 0 if there is none at hand.";
    let family = page.family("lethe_credential_expires_timestamp_seconds", Kind::Gauge, help);
    for shown in &shown {
        family.put(&[("provider", &shown.provider)], seconds(shown.expires.unwrap_or(0)));
    }
    let help = "Tries to obtain a provider's credential that failed, by code.";
    let family = page.family("lethe_credential_failures_total", Kind::Counter, help);
    for shown in &shown {
        for (failure, count) in &shown.failures {
            family.put(&[("provider", &shown.provider), ("failure", failure.name())], count);
        }
    }
}

/// Of exports nothing is shown before there is one: most deployments have no collector.
fn exports(page: &mut Page, operator: &Operator) {
    let exports = lock(&operator.meters.exports).clone();
    let family = page.family("lethe_otlp_exports_total", Kind::Counter, "Times that a collector took these metrics.");
    if let Some(count) = exports.get(&Ok(())) {
        family.put(&[], count);
    }
    let help = "Times that metrics could not be sent to the collector, and were dropped, by code.";
    let family = page.family("lethe_otlp_export_failures_total", Kind::Counter, help);
    for (exported, count) in &exports {
        if let Err(failure) = exported {
            family.put(&[("failure", failure.name())], count);
        }
    }
}

fn parts(page: &mut Page, operator: &Operator) {
    let family = page.family("lethe_part_ends_total", Kind::Counter, "Parts that ended by themselves, by how.");
    for ((role, how), count) in operator.mishaps.ends() {
        family.put(&[("role", role.name()), ("exit", how)], count);
    }
    let help = "Panics by place: build, hash of the source file's name, line; `lethe diagnose location` finds the file.";
    let family = page.family("lethe_panics_total", Kind::Counter, help);
    for ((role, place), count) in operator.mishaps.panics() {
        let [build, location, line] = match place {
            Some(place) => [format!("{:016x}", place.build), format!("{:016x}", place.location), place.line.to_string()],
            None => ["other"; 3].map(str::to_owned),
        };
        family.put(&[("role", role.name()), ("build", &build), ("location", &location), ("line", &line)], count);
    }
}

/// A route's labels. Two routes may have provider and model in common: the number tells them apart, as in `lethe records`.
pub(super) struct Route<'a> {
    number: String,
    provider: &'a str,
    model: &'a str,
}

impl<'a> Route<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, route: RouteId) -> Self {
        let name = catalogue.route(route);
        let (provider, model) = name.map_or(("", ""), |name| (name.provider.as_str(), name.model.as_str()));
        Self { number: route.0.to_string(), provider, model }
    }

    fn labels<'b>(&'b self, first: (&'static str, &'b str)) -> [(&'static str, &'b str); 4] {
        let [number, provider, model] = self.own();
        [first, number, provider, model]
    }

    /// Without a further one.
    pub(super) fn own(&self) -> [(&'static str, &str); 3] {
        [("route", &self.number), ("provider", self.provider), ("model", self.model)]
    }
}

#[expect(clippy::cast_precision_loss, reason = "times in seconds fit a floating-point number to the millisecond")]
fn seconds(millis: Millis) -> f64 {
    millis as f64 / 1000.0
}
