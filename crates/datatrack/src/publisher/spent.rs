//! Handles of ended publications. They are used again only when no fresh handle is left.

use std::collections::VecDeque;
use std::time::Duration;

use crate::packet::Handle;
use crate::time::Instant;

/// How long a handle rests after its publication ended. Packets of the old track may be in flight that long.
const HANDLE_REST: Duration = Duration::from_secs(30);

/// The handle whose publication ended first is in front.
#[derive(Debug, Default)]
pub(super) struct SpentHandles {
    /// Handles whose publications ended since the last known time.
    new: Vec<Handle>,
    resting: VecDeque<Resting>,
}

#[derive(Debug)]
struct Resting {
    handle: Handle,
    since: Instant,
}

impl SpentHandles {
    /// A publication ended.
    pub(super) fn push(&mut self, handle: Handle) {
        self.new.push(handle);
    }

    /// Notes the time: the handles that ended since the last known time rest from `now` at the latest.
    pub(super) fn note_time(&mut self, now: Instant) {
        let resting = self.new.drain(..).map(|handle| Resting { handle, since: now });
        self.resting.extend(resting);
    }

    /// Takes the handle that ended first, among the rested ones that the SFU is known to have released.
    pub(super) fn take(&mut self, now: Instant, is_settled: impl Fn(Handle) -> bool) -> Option<Handle> {
        let rested = |spent: &Resting| spent.since + HANDLE_REST <= now;
        let index = self
            .resting
            .iter()
            .take_while(|spent| rested(spent))
            .position(|spent| is_settled(spent.handle))?;
        self.resting.remove(index).map(|spent| spent.handle)
    }
}
