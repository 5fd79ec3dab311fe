//! Brings the lines of libraries that use the `log` crate to ours.

use super::{Throttle, allows, level};
use ::log::{Log, Metadata, Record};
use std::hash::BuildHasher;
use std::time::Duration;
use tracing_log::{AsTrace, LogTracer};

/// Lines per second and place in the source; the engine logs every error a client causes.
const BURST: u32 = 5;

/// Places that share a number share its lines.
const PLACES: usize = 256;

/// Passes records on, but not the same ones over and over.
pub(super) struct Bridge {
    tracer: LogTracer,
    throttles: [Throttle; PLACES],
    hasher: foldhash::fast::FixedState,
}

impl Default for Bridge {
    fn default() -> Self {
        Self {
            tracer: LogTracer::new(),
            throttles: [const { Throttle::burst(BURST, Duration::from_secs(1)) }; PLACES],
            hasher: foldhash::fast::FixedState::default(),
        }
    }
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        allows(level(), metadata.level().as_trace(), metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let Some(suppressed) = self.throttle(record).and_then(Throttle::allow) else { return };
        if suppressed > 0 {
            let target = record.target();
            tracing::warn!(origin = target, suppressed, "lines like the next were left out");
        }
        self.tracer.log(record);
    }

    fn flush(&self) {}
}

impl Bridge {
    fn throttle(&self, record: &Record<'_>) -> Option<&Throttle> {
        let place = (record.target(), record.level(), record.line());
        let number = self.hasher.hash_one(place) % PLACES as u64;
        self.throttles.get(usize::try_from(number).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::log::Level;

    fn allowed(bridge: &Bridge, target: &str, times: usize) -> usize {
        let record = Record::builder().target(target).level(Level::Warn).line(Some(7)).build();
        (0..times).filter(|_| bridge.throttle(&record).unwrap().allow().is_some()).count()
    }

    #[test]
    fn a_line_that_is_repeated_is_held_back_and_another_is_not() {
        let bridge = Bridge::default();
        assert!(allowed(&bridge, "pingora_proxy", 1000) < 1000);
        assert_eq!(allowed(&bridge, "pingora_core", 1), 1);
    }
}
