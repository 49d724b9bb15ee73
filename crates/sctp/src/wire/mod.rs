//! Packets and chunks as bytes (RFC 9260, section 3; RFC 3758, 6525, 7053, 9653).
//!
//! Reading takes no copy: a [`Chunk`] is a range of the packet. Writing goes into one buffer for each packet.

mod chunk;
mod init;
mod packet;
mod writer;

pub(crate) use chunk::{Data, ForwardTsn, Sack, parameters};
pub(crate) use init::Init;
pub(crate) use packet::{Chunk, Packet, checksum};
pub(crate) use writer::Writer;

/// The header of each packet: ports, tag, checksum.
pub(crate) const HEADER: usize = 12;
/// The header of a DATA chunk.
pub(crate) const DATA_HEADER: usize = 16;

/// Types of chunks.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const SACK: u8 = 3;
    pub(crate) const HEARTBEAT: u8 = 4;
    pub(crate) const HEARTBEAT_ACK: u8 = 5;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const ERROR: u8 = 9;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
    pub(crate) const RECONFIG: u8 = 130;
    pub(crate) const FORWARD_TSN: u8 = 192;
}

/// Flags of a DATA chunk.
pub(crate) mod flag {
    /// The last fragment of a message.
    pub(crate) const END: u8 = 1;
    /// The first one.
    pub(crate) const BEGIN: u8 = 2;
    /// The message has no place in its stream's order.
    pub(crate) const UNORDERED: u8 = 4;
    /// Acknowledge at once (RFC 7053).
    pub(crate) const IMMEDIATE: u8 = 8;
}

/// Types of parameters.
pub(crate) mod parameter {
    pub(crate) const STATE_COOKIE: u16 = 7;
    pub(crate) const OUTGOING_RESET: u16 = 13;
    pub(crate) const INCOMING_RESET: u16 = 14;
    pub(crate) const TSN_RESET: u16 = 15;
    pub(crate) const RECONFIG_RESPONSE: u16 = 16;
    pub(crate) const ADD_OUTGOING: u16 = 17;
    pub(crate) const ADD_INCOMING: u16 = 18;
    pub(crate) const SUPPORTED_EXTENSIONS: u16 = 0x8008;
    pub(crate) const ZERO_CHECKSUM: u16 = 0x8001;
    pub(crate) const FORWARD_TSN_SUPPORTED: u16 = 0xc000;
}

/// A length with what pads it to four bytes.
pub(crate) const fn padded(length: usize) -> usize {
    (length + 3) & !3
}

/// Reads numbers from the front of a slice; `None` where it is too short.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The same for four bytes.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
