//! The facts that are kept of a request (policy 2.1), recorded exactly once whatever becomes of it.

use std::time::Instant;

use lethe_link::{Permit, Routed};
use lethe_types::{AccountPseudonym, Api, Clock, Failure, Millis, Operation, RouteId, SystemClock};
use lethe_usage::{Kind, Quality, UNDERWAY, UnitClass, Usage};

use crate::counts::COUNTS;

/// Status of a request whose client closed the connection first (nginx's number for it).
pub(crate) const CLIENT_GONE: u16 = 499;

/// Units of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Units {
    pub(crate) input: u32,
    pub(crate) output: u32,
    /// The provider said so; else it is an estimate.
    pub(crate) reported: bool,
}

/// One request's facts as they become known. Dropped without [`Meter::finish`] (a panic, a cancelled task) it records a 500.
pub(crate) struct Meter {
    permit: Option<Permit>,
    started: Instant,
    timestamp: Millis,
    first_byte_ms: Option<u32>,
    account: AccountPseudonym,
    operation: Operation,
    /// The format that the client speaks.
    pub(crate) api: Api,
    pub(crate) route: RouteId,
    pub(crate) units: Option<Units>,
    /// A reserve has been recorded: the last record settles it.
    reserved: bool,
}

impl Meter {
    pub(crate) fn start(permit: Permit, account: AccountPseudonym, operation: Operation, api: Api) -> Self {
        Self {
            permit: Some(permit),
            started: Instant::now(),
            timestamp: SystemClock.now(),
            first_byte_ms: None,
            account,
            operation,
            api,
            route: RouteId::NONE,
            units: None,
            reserved: false,
        }
    }

    /// Records that the request is about to go upstream, with an estimate of its prompt, where metering is strict. Returns the record's
    /// number, for which the request has to wait; `None` where metering is buffered.
    pub(crate) fn reserve(&mut self, prompt: u32) -> Option<u64> {
        let usage = Usage {
            kind: Kind::Reserve,
            unit_class: UnitClass::Tokens,
            quality: Quality::Estimated,
            status: UNDERWAY,
            input_units: prompt,
            ..self.usage(0)
        };
        let sequence = self.permit.as_mut()?.reserve(&usage)?;
        self.reserved = true;
        Some(sequence)
    }

    /// The answer has begun to arrive.
    pub(crate) fn first_byte(&mut self) {
        self.first_byte_ms.get_or_insert(elapsed_ms(self.started));
    }

    /// The attempt on the chosen route failed: it is counted, apart from the record.
    pub(crate) fn failed(&self, failure: Failure) {
        COUNTS.failed(self.route, failure);
    }

    /// A step on the chosen route that not every request makes: it is counted, apart from the record.
    pub(crate) fn routed(&self, routed: Routed) {
        COUNTS.routed(self.route, routed);
    }

    /// Records the request.
    pub(crate) fn finish(mut self, status: u16) {
        self.record(status);
    }

    fn record(&mut self, status: u16) {
        let Some(permit) = self.permit.take() else { return };
        permit.record(&self.usage(status));
    }

    fn usage(&self, status: u16) -> Usage {
        let total_ms = elapsed_ms(self.started);
        let (unit_class, quality) = match self.units {
            None => (UnitClass::None, Quality::Counted),
            Some(Units { reported: true, .. }) => (UnitClass::Tokens, Quality::Reported),
            Some(_) => (UnitClass::Tokens, Quality::Estimated),
        };
        let units = self.units.unwrap_or_default();
        Usage {
            kind: if self.reserved { Kind::Settle } else { Kind::Charge },
            operation: self.operation,
            unit_class,
            quality,
            status,
            timestamp: self.timestamp,
            account: self.account,
            route: self.route,
            total_ms,
            first_byte_ms: self.first_byte_ms.unwrap_or(total_ms),
            input_units: units.input,
            output_units: units.output,
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.failed(Failure::Internal);
        }
        self.record(500);
    }
}

fn elapsed_ms(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX)
}

/// Tokens in so many bytes of JSON text, roughly: four bytes each.
pub(crate) fn estimate(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(4)).unwrap_or(u32::MAX)
}
