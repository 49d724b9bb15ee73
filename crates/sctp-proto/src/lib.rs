//! The SCTP engine under the name that str0m depends on: the crate that str0m has by itself, or with the feature `ours`
//! our engine (`datatrack-sctp`).

#[cfg(feature = "ours")]
pub use datatrack_sctp::*;
#[cfg(not(feature = "ours"))]
pub use {datatrack_sctp::AssociationStats, stock::*};

/// Does what `datatrack_sctp::observe` does. str0m's own engine shows nothing.
#[cfg(not(feature = "ours"))]
pub fn observe<T>(work: impl FnOnce() -> T) -> (T, Option<AssociationStats>) {
    (work(), None)
}

/// Does what `datatrack_sctp::repair_until` does. str0m's own engine repairs nothing, so `until` is not called.
#[cfg(not(feature = "ours"))]
pub fn repair_until<T>(_until: impl FnOnce() -> Option<std::time::Instant>, work: impl FnOnce() -> T) -> T {
    work()
}
