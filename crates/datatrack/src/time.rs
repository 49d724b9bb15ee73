use std::ops::Add;
use std::time::Duration;

/// A point in time: microseconds since an origin that the caller chose and never moves.
///
/// The core never reads a clock. The driver takes its origin from a monotonic clock. A test makes up its instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// The instant `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The instant `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time since `earlier`. Zero if `earlier` is later, so that a clock that steps back does no harm.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_gives_zero() {
        let earlier = Instant::from_millis(5);
        assert_eq!(Instant::from_millis(3).saturating_duration_since(earlier), Duration::ZERO);
        assert_eq!((earlier + Duration::from_millis(2)).saturating_duration_since(earlier).as_millis(), 2);
    }

    #[test]
    fn adding_saturates() {
        assert_eq!(Instant::from_micros(1) + Duration::MAX, Instant::from_micros(u64::MAX));
    }
}
