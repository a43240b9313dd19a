//! The OpenTelemetry Protocol's form of metrics, as JSON (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): numbers of
//! 64 bits are strings, enumerations are numbers, names are in camel case.

use lethe_types::Millis;
use serde_json::{Map, Value as Json, json};

use super::family::{Family, Kind, Number, Page, Series, Value};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE` of OTLP's `metrics.proto`: totals since a start. One that is not delivered is made good by the next.
const CUMULATIVE: u32 = 2;

impl Page {
    /// An `ExportMetricsServiceRequest`. `started` is when counting began. Families without a series are left out.
    pub(crate) fn into_otlp(self, started: Millis, now: Millis) -> Vec<u8> {
        let times = Times { started: nanoseconds(started), now: nanoseconds(now) };
        let families = self.0.iter().filter(|family| !family.series.is_empty());
        let metrics: Vec<Json> = families.map(|family| family.otlp(&times)).collect();
        let resource = attributes(&[("service.name", "lethe"), ("service.version", env!("CARGO_PKG_VERSION"))]);
        let scope = json!({ "scope": { "name": "lethe" }, "metrics": metrics });
        json!({ "resourceMetrics": [{ "resource": { "attributes": resource }, "scopeMetrics": [scope] }] }).to_string().into()
    }
}

/// The data points' times, in nanoseconds since the epoch.
struct Times {
    started: String,
    now: String,
}

impl Family {
    fn otlp(&self, times: &Times) -> Json {
        let points: Vec<Json> = self.series.iter().map(|series| series.otlp(self.kind, times)).collect();
        let (kind, data) = match self.kind {
            Kind::Counter => ("sum", json!({ "aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points })),
            Kind::Gauge => ("gauge", json!({ "dataPoints": points })),
            Kind::Histogram => ("histogram", json!({ "aggregationTemporality": CUMULATIVE, "dataPoints": points })),
        };
        // As the Unified Code for Units of Measure has it.
        let unit = if self.name.ends_with("_seconds") { "s" } else { "1" };
        json!({ "name": self.name, "description": self.help, "unit": unit, kind: data })
    }
}

impl Series {
    fn otlp(&self, kind: Kind, times: &Times) -> Json {
        let labels: Vec<(&str, &str)> = self.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut point = Map::new();
        let mut set = |name: &str, value: Json| drop(point.insert(name.to_owned(), value));
        set("attributes", attributes(&labels));
        set("timeUnixNano", times.now.as_str().into());
        if kind != Kind::Gauge {
            set("startTimeUnixNano", times.started.as_str().into());
        }
        match &self.value {
            Value::Histogram { bounds, counts, sum } => {
                let total = counts.iter().fold(0_u64, |total, count| total.saturating_add(*count));
                set("count", total.to_string().into());
                set("sum", (*sum).into());
                set("bucketCounts", counts.iter().map(u64::to_string).collect());
                set("explicitBounds", bounds.iter().copied().collect());
            }
            Value::Number(Number::Float(value)) => set("asDouble", (*value).into()),
            Value::Number(Number::Signed(value)) => set("asInt", value.to_string().into()),
            // There is no unsigned number.
            Value::Number(Number::Unsigned(value)) => set("asInt", i64::try_from(*value).unwrap_or(i64::MAX).to_string().into()),
        }
        point.into()
    }
}

fn attributes(labels: &[(&str, &str)]) -> Json {
    labels.iter().map(|(name, value)| json!({ "key": name, "value": { "stringValue": value } })).collect()
}

fn nanoseconds(millis: Millis) -> String {
    (u128::from(millis) * 1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Kind, Page};

    #[test]
    fn a_page_is_what_the_protocol_says() {
        let mut page = Page::default();
        let family = page.family("a_total", Kind::Counter, "A.");
        family.put(&[("x", "\"1\"\n"), ("y", "")], u64::MAX);
        family.put(&[], 7_u64);
        page.family("b_seconds", Kind::Gauge, "B.").put(&[], -3_i64);
        page.family("c", Kind::Gauge, "C.").put(&[], 1.5);
        page.family("nothing", Kind::Gauge, "Nobody has said.");
        page.family("h_seconds", Kind::Histogram, "H.").histogram(&[("x", "1")], &[0.5, 1.0], &[2, 0, 3], 7.25);
        let document: Value = serde_json::from_slice(&page.into_otlp(1_000, 61_000)).unwrap_or_default();
        let text = |name: &str, value: &str| json!({ "key": name, "value": { "stringValue": value } });
        let (started, now) = ("1000000000", "61000000000");
        let metrics = json!([
            { "name": "a_total", "description": "A.", "unit": "1", "sum": {
                "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
                    { "attributes": [text("x", "\"1\"\n"), text("y", "")], "startTimeUnixNano": started, "timeUnixNano": now,
                      "asInt": "9223372036854775807" },
                    { "attributes": [], "startTimeUnixNano": started, "timeUnixNano": now, "asInt": "7" },
                ] } },
            { "name": "b_seconds", "description": "B.", "unit": "s", "gauge": {
                "dataPoints": [{ "attributes": [], "timeUnixNano": now, "asInt": "-3" }] } },
            { "name": "c", "description": "C.", "unit": "1", "gauge": {
                "dataPoints": [{ "attributes": [], "timeUnixNano": now, "asDouble": 1.5 }] } },
            { "name": "h_seconds", "description": "H.", "unit": "s", "histogram": {
                "aggregationTemporality": 2, "dataPoints": [
                    { "attributes": [text("x", "1")], "startTimeUnixNano": started, "timeUnixNano": now, "count": "5", "sum": 7.25,
                      "bucketCounts": ["2", "0", "3"], "explicitBounds": [0.5, 1.0] },
                ] } },
        ]);
        let resource =
            json!({ "attributes": [text("service.name", "lethe"), text("service.version", env!("CARGO_PKG_VERSION"))] });
        let scopes = json!([{ "scope": { "name": "lethe" }, "metrics": metrics }]);
        assert_eq!(document, json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": scopes }] }));
    }
}
