//! What str0m's caller and the association tell each other past str0m, which owns the association and does not show it.
//! Both run on one thread, one inside the other. So what one of them says is kept for the thread, until the call returns.

use std::cell::Cell;
use std::time::Instant;

use crate::stats::AssociationStats;

thread_local! {
    static OBSERVED: Cell<Observed> = const { Cell::new(Observed::Nothing) };
    static REPAIRS: Cell<Option<Instant>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
enum Observed {
    /// The thread runs no [`observe`].
    Nothing,
    /// It does, and no association was asked for packets yet.
    Awaited,
    Seen(AssociationStats),
}

/// Runs `work`, and returns also the figures of the association that was last asked for packets in it.
pub fn observe<T>(work: impl FnOnce() -> T) -> (T, Option<AssociationStats>) {
    OBSERVED.set(Observed::Awaited);
    let result = work();
    match OBSERVED.replace(Observed::Nothing) {
        Observed::Seen(stats) => (result, Some(stats)),
        Observed::Nothing | Observed::Awaited => (result, None),
    }
}

/// An association was asked for packets.
pub(crate) fn tell(stats: impl FnOnce() -> AssociationStats) {
    if !matches!(OBSERVED.get(), Observed::Nothing) {
        OBSERVED.set(Observed::Seen(stats()));
    }
}

/// Runs `work`. If a chunk of a message that is written in it is lost, it is sent once more than the stream's number of
/// retransmissions says, before `until`. This is so only if the message has several chunks, because one lost chunk costs
/// all of them. The peer is not told, so the parameters of the channel stay as they are.
pub fn repair_until<T>(until: impl FnOnce() -> Option<Instant>, work: impl FnOnce() -> T) -> T {
    REPAIRS.set(until());
    let result = work();
    REPAIRS.set(None);
    result
}

/// Until when a message that is written now is repaired.
pub(crate) fn repairs() -> Option<Instant> {
    REPAIRS.get()
}
