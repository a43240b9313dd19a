//! Sends the metrics to a collector (OTLP over HTTP, <https://opentelemetry.io/docs/specs/otlp/#otlphttp>), if one is configured.
//!
//! What is sent are totals, so that an export that fails is dropped and made good by the next: nothing is kept and nothing is tried again
//! before its time. One export at a time, bounded in time and size; the page is written as for anybody else who asks for it.

use std::time::Duration;

use lethe_types::{Failure, SecretBytes};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::doors::stopped;
use crate::metrics;
use crate::operator::Operator;
use crate::outbound::{Outbound, Outgoing, Trust};
use crate::start::OtlpSetup;

/// Sends the metrics again and again until `stop` turns true.
pub(crate) async fn keep(setup: &OtlpSetup, operator: &Operator, outbound: Outbound, mut stop: watch::Receiver<bool>) {
    let period = Duration::from_secs(setup.seconds.into());
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let exported = tokio::select! {
            () = stopped(&mut stop) => return,
            exported = async {
                ticks.tick().await;
                export(setup, operator, &outbound).await
            } => exported,
        };
        operator.meters.exported(exported);
    }
}

async fn export(setup: &OtlpSetup, operator: &Operator, outbound: &Outbound) -> Result<(), Failure> {
    let page = metrics::page(operator).await.map_err(|_| Failure::Internal)?;
    let body = SecretBytes::new(page.into_otlp(operator.started, operator.clock.now()));
    let mut fields = vec![("content-type", "application/json".to_owned())];
    if let Some(authorization) = &setup.authorization {
        let value = std::str::from_utf8(authorization.expose()).map_err(|_| Failure::Internal)?;
        fields.push(("authorization", value.to_owned()));
    }
    let trust = Trust { allow_private: setup.allow_private, extra_roots: setup.extra_roots.clone() };
    let answered = outbound.post(&setup.server, &trust, Outgoing { fields, body }).await?;
    match answered.status {
        200..=299 if rejected(answered.body.expose()) => Err(Failure::Rejected),
        200..=299 => Ok(()),
        status => Err(Failure::of_status(status)),
    }
}

/// Whether the collector took a part only (`partialSuccess`): its number is a string, as all of 64 bits are, or a number.
fn rejected(answer: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    match answer.pointer("/partialSuccess/rejectedDataPoints") {
        Some(Value::String(number)) => number != "0",
        Some(Value::Number(number)) => number.as_i64() != Some(0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::rejected;

    #[test]
    fn a_part_that_was_not_taken_is_seen() {
        for whole in [
            "",
            "{}",
            "no JSON",
            r#"{"partialSuccess":{}}"#,
            r#"{"partialSuccess":{"rejectedDataPoints":"0","errorMessage":"x"}}"#,
        ] {
            assert!(!rejected(whole.as_bytes()), "{whole}");
        }
        for part in [r#"{"partialSuccess":{"rejectedDataPoints":"3"}}"#, r#"{"partialSuccess":{"rejectedDataPoints":3}}"#] {
            assert!(rejected(part.as_bytes()), "{part}");
        }
    }
}
