use datatrack::Instant;
use tokio::time::Instant as TokioInstant;

/// Turns the system's monotonic clock into the core's time.
///
/// It reads the clock of tokio's timers. In a test that pauses time, both stand still.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: TokioInstant,
}

impl Clock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: TokioInstant::now() }
    }

    /// Time since the origin.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// That instant on the system's clock. One that is beyond all bounds becomes one far ahead.
    #[must_use]
    pub fn to_std(&self, instant: Instant) -> std::time::Instant {
        const FAR: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 86_400);
        let since = std::time::Duration::from_micros(instant.as_micros()).min(FAR);
        (self.origin + since).into_std()
    }

    /// The time for tokio's timer at that instant. An instant more than a day ahead is cut to a day; the caller then
    /// asks again.
    #[must_use]
    pub fn to_tokio(&self, instant: Instant) -> TokioInstant {
        const FAR: std::time::Duration = std::time::Duration::from_secs(86_400);
        let ahead = instant.saturating_duration_since(self.now()).min(FAR);
        TokioInstant::now() + ahead
    }
}
