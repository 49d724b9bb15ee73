use std::time::Instant as StdInstant;

use datatrack::Instant;

/// Turns the system's monotonic clock into the core's time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: StdInstant,
}

impl Clock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: StdInstant::now() }
    }

    /// Time since the origin.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// When tokio's timer should fire for that instant; far instants are cut to a day, after which one looks again.
    #[must_use]
    pub fn to_tokio(&self, instant: Instant) -> tokio::time::Instant {
        const FAR: std::time::Duration = std::time::Duration::from_secs(86_400);
        let ahead = instant.saturating_duration_since(self.now()).min(FAR);
        tokio::time::Instant::now() + ahead
    }
}
