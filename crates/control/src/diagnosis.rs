//! `GET /v1/diagnosis`: everything that went wrong since the start of control, with what it means and what to do about it.

use lethe_link::Counted;
use lethe_policy::Terms;
use serde_json::{Map, Value, json};

use crate::broker::Shown;
use crate::operator::Operator;
use crate::{Alarm, explain};

/// Counts under closed names; of requests nothing, of accounts nothing.
pub(crate) fn of(operator: &Operator) -> Value {
    let (mut failures, mut refusals) = (Vec::new(), Vec::new());
    let catalogue = operator.catalogue.now();
    for (of, count) in operator.meters.counted() {
        match of {
            Counted::Failure(route, failure) => {
                let name = catalogue.route(route);
                let (meaning, advice) = explain::failure(failure);
                failures.push(json!({
                    "failure": failure.name(), "route": route.0, "provider": name.map(|name| name.provider.as_str()),
                    "model": name.map(|name| name.model.as_str()), "count": count, "meaning": meaning, "advice": advice,
                }));
            }
            Counted::Refused(refused) => {
                let (meaning, advice) = explain::refused(refused);
                refusals.push(json!({ "reason": refused.name(), "count": count, "meaning": meaning, "advice": advice }));
            }
            // Nothing has gone wrong by itself where a request went another way.
            Counted::Routed(..) => {}
        }
    }
    let now = operator.clock.now();
    let providers: Vec<Value> = catalogue
        .hosted()
        .map(|provider| {
            let standing = Terms::standing(provider.terms.as_ref(), now);
            let (meaning, advice) = explain::standing(standing);
            json!({
                "provider": provider.id, "standing": standing.name(), "meaning": meaning, "advice": advice,
                "review_due_ms": provider.terms.as_ref().map(|terms| terms.review_due),
            })
        })
        .collect();
    let alarms: Map<String, Value> =
        Alarm::ALL.into_iter().map(|alarm| (alarm.name().to_owned(), operator.alarms.count(alarm).into())).collect();
    let credentials: Vec<Value> = operator.broker.shown().iter().map(credential).collect();
    json!({
        "since_ms": operator.started, "failures": failures, "refusals": refusals, "providers": providers,
        "credentials": credentials, "alarms": alarms,
        "gateways": operator.links.list().len(), "ends": ends(operator), "panics": panics(operator),
    })
}

/// One that control obtains: whether it is at hand, and why not.
fn credential(shown: &Shown) -> Value {
    let explained = shown.failing.map(|_| explain::NOT_OBTAINED);
    json!({
        "provider": shown.provider, "grant": shown.grant, "expires_ms": shown.expires,
        "failing": shown.failing.map(|(times, failure)| json!({ "failure": failure.name(), "times": times })),
        "meaning": explained.map(|(meaning, _)| meaning), "advice": explained.map(|(_, advice)| advice),
    })
}

fn ends(operator: &Operator) -> Vec<Value> {
    let ends = operator.mishaps.ends().into_iter();
    ends.map(|((role, exit), count)| json!({ "role": role.name(), "exit": exit, "count": count })).collect()
}

fn panics(operator: &Operator) -> Vec<Value> {
    let panics = operator.mishaps.panics().into_iter();
    panics
        .map(|((role, place), count)| {
            let hexadecimal = |number: u64| format!("{number:016x}");
            json!({
                "role": role.name(), "build": place.map(|place| hexadecimal(place.build)),
                "location": place.map(|place| hexadecimal(place.location)), "line": place.map(|place| place.line), "count": count,
            })
        })
        .collect()
}
