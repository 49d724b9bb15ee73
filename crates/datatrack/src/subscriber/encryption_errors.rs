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

    /// Counts frames. Returns an event when one is due.
    pub(super) fn count(
        &mut self,
        publisher: &Arc<str>,
        reason: EncryptionErrorReason,
        key_index: u8,
        frames: u64,
        now: Instant,
    ) -> Option<SubscriberEvent> {
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
