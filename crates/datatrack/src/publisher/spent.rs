//! Handles of publications that are over, which are used again once no other is left.

use std::collections::VecDeque;
use std::time::Duration;

use crate::packet::Handle;
use crate::time::Instant;

/// How long a handle rests after its end. Packets of the old track may be under way that long.
const HANDLE_REST: Duration = Duration::from_secs(30);

/// The one that ended first is in front.
#[derive(Debug, Default)]
pub(super) struct SpentHandles {
    /// Ended since the time was last told.
    new: Vec<Handle>,
    resting: VecDeque<Resting>,
}

#[derive(Debug)]
struct Resting {
    handle: Handle,
    since: Instant,
}

impl SpentHandles {
    /// A publication is over.
    pub(super) fn push(&mut self, handle: Handle) {
        self.new.push(handle);
    }

    /// It is `now`: what has ended rests at the latest from now on.
    pub(super) fn note_time(&mut self, now: Instant) {
        let resting = self.new.drain(..).map(|handle| Resting { handle, since: now });
        self.resting.extend(resting);
    }

    /// Takes the handle that ended first, of those that have rested and that the SFU is known to have let go.
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
