//! Packet v0: what LiveKit's clients and SFU exchange on the data track channel.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! ┌─────┬─┬─┬─┬───┬───────────────┬───────────────────────────────┐
//! │  0  │S│F│X│ 0 │       0       │ handle                        │
//! ├─────┴─┴─┴─┴───┴───────────────┼───────────────────────────────┤
//! │ sequence                      │ frame number                  │
//! ├───────────────────────────────┴───────────────────────────────┤
//! │ timestamp                                                     │
//! ├───────────────────────────────────────────────────────────────┤
//! │ extensions, if X is set; then the payload                     │
//! └───────────────────────────────────────────────────────────────┘
//! ```
//!
//! All numbers are big endian. The first three bits are the version; S is set on the first packet of a frame, F on
//! the last, both on a frame in one packet. What is drawn as 0 after the version is reserved: ignored on reading,
//! zero on writing.

mod error;
mod extensions;
mod handle;
mod header;
#[cfg(test)]
mod tests;

pub use error::PacketError;
pub use extensions::{E2eeExtension, Extensions};
pub use handle::{Handle, HandleError};
pub use header::{Header, Marker, peek_handle, rewrite_handle};

/// Length in bytes of a header without extensions.
pub const BASE_HEADER_LEN: usize = 12;

/// Length in bytes of a header with all extensions.
pub const MAX_HEADER_LEN: usize = 40;

/// The longest packet that is sent, in bytes, header included. LiveKit's clients use the same value. An SCTP message of
/// this length reaches the SFU safely.
pub const MTU: usize = 16_000;
