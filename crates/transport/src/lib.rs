//! The driver: clocks, locks, tasks and sockets around the data-track state machines.
//!
//! The core knows no clock, no lock and no task. They are here. A [`Link`] is one participant's publisher and
//! subscriber, each behind a lock; one JavaScript thread and one task share it. A [`connection`] carries the link's
//! packets to a LiveKit server and back, fills the readers of audio tracks, which are in [`hearing`], and sends those of
//! [`speaking`]. The [`loopback`] is the in-process stand-in for a server's packet side.

mod clock;
pub mod connection;
pub mod hearing;
mod link;
pub mod loopback;
pub mod network;
pub mod peer;
pub mod proxy;
pub mod relay;
mod sockets;
pub mod speaking;

pub use clock::Clock;
pub use link::{KeysReady, Link, LinkEvent, LinkHost, LinkOptions};
