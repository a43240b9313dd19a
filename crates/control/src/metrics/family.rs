//! What a metric is before it is written in one format or another: families of series.

/// Families in the order in which they are shown.
#[derive(Default)]
pub(crate) struct Page(pub(super) Vec<Family>);

/// What a family of series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One family. Its name ends with its unit, as Prometheus has it.
pub(crate) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: String,
    pub(super) series: Vec<Series>,
}

/// Values under the same labels.
pub(super) struct Series {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: Value,
}

/// What a series says.
pub(super) enum Value {
    /// Times in seconds: how many were at most each bound, and not at most the one before it; the last count is what is above all of them.
    Histogram {
        bounds: &'static [f64],
        counts: Vec<u64>,
        sum: f64,
    },
    Number(Number),
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Float(f64),
    Signed(i64),
    Unsigned(u64),
}

/// Label names, which are ours, and values, which may be an operator's.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Page {
    /// Begins a family.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Family {
        self.0.push_mut(Family { name, kind, help: help.to_owned(), series: Vec::new() })
    }
}

impl Family {
    /// One series.
    pub(crate) fn put(&mut self, labels: Labels<'_>, value: impl Into<Number>) {
        self.add(labels, Value::Number(value.into()));
    }

    /// One histogram: `counts` below or at each of `bounds` (seconds), not cumulative, and one for what is above all of them.
    pub(crate) fn histogram(&mut self, labels: Labels<'_>, bounds: &'static [f64], counts: &[u64], sum_seconds: f64) {
        self.add(labels, Value::Histogram { bounds, counts: counts.to_vec(), sum: sum_seconds });
    }

    fn add(&mut self, labels: Labels<'_>, value: Value) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.series.push(Series { labels, value });
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Unsigned(value)
    }
}

impl From<&u64> for Number {
    fn from(value: &u64) -> Self {
        Self::Unsigned(*value)
    }
}

impl From<u8> for Number {
    fn from(value: u8) -> Self {
        Self::Unsigned(value.into())
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Unsigned(value.try_into().unwrap_or(u64::MAX))
    }
}
