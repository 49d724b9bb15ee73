use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{EncryptionErrorReason, SubscriberEvent};
use crate::time::Instant;

/// Reports frames that could not be opened, with at most one event a second for each publisher and reason.
#[derive(Debug, Default)]
pub(super) struct EncryptionErrors {
    seen: HashMap<Arc<str>, HashMap<EncryptionErrorReason, Throttle>>,
}

#[derive(Debug)]
struct Throttle {
    quiet_until: Instant,
    count: u64,
}

impl EncryptionErrors {
    const INTERVAL: Duration = Duration::from_secs(1);
    /// After this time without an event, a publisher is forgotten when another one is seen. A publisher that has audio
    /// tracks only is not forgotten otherwise.
    const KEPT: Duration = Duration::from_secs(60);

    /// Counts frames. Returns an event when one is due.
    pub(super) fn count(
        &mut self,
        publisher: &Arc<str>,
        reason: EncryptionErrorReason,
        key_index: u8,
        frames: u64,
        now: Instant,
    ) -> Option<SubscriberEvent> {
        if !self.seen.contains_key(publisher) {
            let recent = |throttle: &Throttle| now < throttle.quiet_until + Self::KEPT;
            self.seen.retain(|_, reasons| reasons.values().any(recent));
        }
        let throttle = self
            .seen
            .entry(publisher.clone())
            .or_default()
            .entry(reason)
            .or_insert(Throttle { quiet_until: now, count: 0 });
        throttle.count += frames;
        if now < throttle.quiet_until {
            return None;
        }
        throttle.quiet_until = now + Self::INTERVAL;
        let count = std::mem::take(&mut throttle.count);
        Some(SubscriberEvent::EncryptionError { publisher: publisher.clone(), reason, key_index, count })
    }

    /// Forgets a publisher that has left.
    pub(super) fn forget(&mut self, publisher: &str) {
        self.seen.remove(publisher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_are_forgotten_after_a_while() {
        let mut errors = EncryptionErrors::default();
        let mut now = Instant::ZERO;
        let mut count = |publisher: &str, now| {
            errors.count(&publisher.into(), EncryptionErrorReason::MissingKey, 0, 1, now);
            errors.seen.len()
        };
        for publisher in 0..50 {
            assert_eq!(count(&publisher.to_string(), now), publisher + 1);
        }
        now = now + EncryptionErrors::INTERVAL + EncryptionErrors::KEPT;
        assert_eq!(count("49", now), 50);
        assert_eq!(count("another", now), 2);
    }
}
