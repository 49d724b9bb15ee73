//! The driver: what stands between the data-track state machines and the world.
//!
//! The core knows no clock, no lock and no task; here they are. A [`Link`] is one participant's publisher and
//! subscriber behind a lock each, shared by one JavaScript thread and one task. The [`loopback`] is the in-process
//! stand-in for an SFU's packet side.

mod clock;
mod link;
pub mod loopback;
pub mod network;

pub use clock::Clock;
pub use link::{KeysReady, Link, LinkEvent, LinkHost, LinkOptions};
