//! LiveKit data tracks as sans-IO state machines.
//!
//! Nothing in this crate reads a clock, opens a socket, starts a thread, takes a lock or draws random numbers on its
//! own. Time comes in as an [`Instant`]. Bytes and signals come in through `handle_*`. All output is polled. One rule
//! holds for each machine: **after an input, poll until there is nothing left, then ask for the deadline**:
//!
//! 1. give it an input: `publish`, `push`, `handle_packet`, `handle_publish_response` …;
//! 2. poll `poll_event` until `None`, and carry out what the events ask for;
//! 3. take packets with `peek_transmit` and `advance_transmit` ([`Publisher`]) or frames with `read_frame`
//!    ([`Subscriber`]);
//! 4. ask `poll_timeout`, and call `handle_timeout` no later than then.
//!
//! The wire format is LiveKit's packet v0; [`packet`] draws it.

pub mod depacketizer;
pub mod e2ee;
mod frame;
mod info;
pub mod packet;
pub mod packetizer;
pub mod publisher;
pub mod schema;
pub mod stats;
pub mod subscriber;
mod time;

pub use frame::{AssembledFrame, PIECE_OVERHEAD, Payload};
pub use info::{EncryptionType, TrackInfo, TrackSid, TrackSidError};
pub use packet::Handle;
pub use publisher::Publisher;
pub use subscriber::Subscriber;
pub use time::Instant;
