//! The whole matrix against the provider: every row goes through, and its canaries are on the wire.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::found::found;
use super::{brisk, provider, proxy, target};
use crate::canary::{Canaries, Direction, Id};
use crate::drive::{Dialect, Plan, Progress, State, Up, probe, run};

fn exercise(dialect: Dialect, plan: Plan) {
    let provider = provider();
    let (address, wire) = proxy(provider.address());
    let target = target(address, dialect);
    assert_eq!(probe(&target, Some(&provider), Duration::from_secs(5)), Ok(Up { through_provider: true }));
    let mut canaries = Canaries::new().unwrap();
    let mut wires = Vec::new();
    std::mem::take(&mut *wire.lock().unwrap());
    let ran = run(&plan, &target, Some(&provider), &mut canaries, &mut |progress| {
        if matches!(progress, Progress::Ended { .. }) {
            wires.push(std::mem::take(&mut *wire.lock().unwrap()));
        }
    })
    .unwrap();
    assert_eq!(ran.rows.len(), plan.rows.len());
    let mut owned = HashSet::new();
    for (row, (sent, came)) in ran.rows.iter().zip(&wires) {
        let name = format!("{} · {}", row.endpoint, row.outcome);
        assert!(row.took < plan.limits.row, "{name} took {:?}", row.took);
        // The provider does not judge what it is sent, so that nothing is refused.
        assert_eq!(row.state, State::Exercised, "{name} ended with {:?}", row.status);
        let (up, down) = (found(sent, &canaries), found(came, &canaries));
        for id in &row.canaries {
            let label = canaries.label(*id).unwrap();
            assert_eq!((label.endpoint.as_str(), label.outcome.as_str()), (row.endpoint, row.outcome));
            assert!(owned.insert(*id), "{name}: a canary of two rows");
            match label.direction {
                Direction::Prompt => assert!(up.contains(id), "{name}: {:?} was not sent", label.modality),
                Direction::Completion => assert!(down.contains(id), "{name}: {:?} did not come back", label.modality),
                Direction::Control => unreachable!("a row makes no controls"),
            }
        }
        assert!(row.canaries.iter().any(|id| up.contains(id)), "{name} sent nothing");
        let unseen = ["not HTTP", "oversized body"];
        assert_eq!(row.prompt_arrived, !unseen.contains(&row.outcome), "{name}: the prompt at the provider");
    }
    assert_eq!(owned.len(), canaries.len());
    // An honest target's answers hold their own rows' canaries and no others.
    let own: HashSet<Id> = ran.answers.iter().flat_map(|answer| found(&answer.bytes, &canaries)).collect();
    assert!(own.len() > plan.rows.len() / 2, "answers are kept with what is in them");
    for answer in &ran.answers {
        let strange = found(&answer.bytes, &canaries).into_iter().filter(|id| !answer.own.contains(id)).count();
        assert_eq!(strange, 0, "{}", answer.from);
    }
    assert!(!ran.open.is_empty() && ran.open.len() <= plan.limits.open);
}

#[test]
fn every_row_of_openai() {
    exercise(Dialect::OpenAi, brisk(Plan::full(Dialect::OpenAi)));
}

#[test]
fn every_row_of_anthropic() {
    exercise(Dialect::Anthropic, brisk(Plan::full(Dialect::Anthropic)));
}

#[test]
fn every_row_of_gemini() {
    exercise(Dialect::Gemini, brisk(Plan::full(Dialect::Gemini)));
}

/// A target that speaks them all: each row is asked in its own dialect, at its own path.
#[test]
fn every_row_of_every_dialect() {
    let plan = Plan::full_of_every_dialect();
    let of = |endpoint: &str| plan.rows.iter().filter(|row| row.endpoint.contains(endpoint)).count();
    assert!(["/v1/chat/completions", "/v1/messages", "/v1beta/models", "/v1/rerank"].iter().all(|endpoint| of(endpoint) > 10));
    exercise(Dialect::OpenAi, brisk(plan.only(&["POST /v1beta"])));
    exercise(Dialect::OpenAi, brisk(Plan::full_of_every_dialect().only(&["POST /v1/messages"])));
}

#[test]
fn a_quick_run_is_quick_and_has_each_kind_of_outcome() {
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
        let plan = Plan::quick(dialect);
        let classes: HashSet<_> = plan.rows.iter().map(|row| row.class).collect();
        let all: HashSet<_> = Plan::full(dialect).rows.iter().map(|row| row.class).collect();
        assert_eq!(classes, all);
        assert!(plan.rows.len() * 3 < Plan::full(dialect).rows.len() * 2);
        let began = Instant::now();
        exercise(dialect, plan);
        assert!(began.elapsed() < Duration::from_secs(10), "took {:?}", began.elapsed());
    }
}

#[test]
fn a_plan_can_be_narrowed() {
    let plan = Plan::full(Dialect::OpenAi).only(&["/v1/embeddings"]);
    assert!(!plan.rows.is_empty() && plan.rows.iter().all(|row| row.endpoint == "POST /v1/embeddings"));
    let plan = Plan::full(Dialect::OpenAi).only(&["POST /v1/chat", "provider error"]);
    assert!(plan.rows.len() > 4 && plan.rows.iter().all(|row| row.outcome.starts_with("provider error")));
    assert!(Plan::full(Dialect::OpenAi).only(&["/v2"]).rows.is_empty());
}

#[test]
fn no_two_rows_have_the_same_name() {
    let plans = [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini].map(Plan::full);
    for plan in plans.into_iter().chain([Plan::full_of_every_dialect()]) {
        let rows = plan.rows;
        let names: HashSet<_> = rows.iter().map(|row| (row.endpoint, row.outcome)).collect();
        assert_eq!(names.len(), rows.len());
    }
}
