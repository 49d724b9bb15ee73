//! The SCTP engine under the name that str0m depends on: ours (`datatrack-sctp`), or with the feature `stock` the crate
//! that str0m has by itself.

#[cfg(not(feature = "stock"))]
pub use datatrack_sctp::*;
#[cfg(feature = "stock")]
pub use {datatrack_sctp::AssociationStats, stock::*};

/// Does what `datatrack_sctp::observe` does. str0m's own engine shows nothing.
#[cfg(feature = "stock")]
pub fn observe<T>(work: impl FnOnce() -> T) -> (T, Option<AssociationStats>) {
    (work(), None)
}

/// Does what `datatrack_sctp::repair_until` does. str0m's own engine repairs nothing, so `until` is not called.
#[cfg(feature = "stock")]
pub fn repair_until<T>(_until: impl FnOnce() -> Option<std::time::Instant>, work: impl FnOnce() -> T) -> T {
    work()
}
