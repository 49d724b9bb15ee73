//! The driver: what stands between the data-track state machines and the world.
//!
//! The core knows no clock, no lock and no task; here they are. A [`Link`] is one participant's publisher and
//! subscriber behind a lock each, shared by one JavaScript thread and one task. A [`connection`] carries its packets to a
//! LiveKit server and back; the [`loopback`] is the in-process stand-in for a server's packet side.

mod clock;
pub mod connection;
mod link;
pub mod loopback;
pub mod network;
pub mod peer;
mod sockets;

pub use clock::Clock;
pub use link::{KeysReady, Link, LinkEvent, LinkHost, LinkOptions};
