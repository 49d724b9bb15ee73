//! A packet: its header, its checksum, and its chunks one by one.

use bytes::Bytes;

use super::{HEADER, kind, padded, u16_at, u32_at};

/// A received packet whose header and checksum are right.
pub(crate) struct Packet {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// The tag that the sender was told by us; 0 in a packet with INIT.
    pub(crate) tag: u32,
    bytes: Bytes,
}

/// A chunk of a packet.
pub(crate) struct Chunk {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// What follows the chunk's header, without padding.
    pub(crate) value: Bytes,
}

/// CRC-32C of a packet whose checksum field counts as zero (RFC 9260, appendix A).
pub(crate) fn checksum(packet: &[u8]) -> u32 {
    let (head, rest) = packet.split_at(packet.len().min(8));
    let crc = crc32c::crc32c_append(crc32c::crc32c(head), &[0; 4]);
    crc32c::crc32c_append(crc, rest.get(4..).unwrap_or_default())
}

impl Packet {
    /// `None`: it is no packet, or its checksum is wrong. A checksum of zero is right over DTLS (RFC 9653), which we
    /// always
    /// offer, but not in a packet that begins with INIT: that comes before the offer.
    pub(crate) fn parse(bytes: Bytes) -> Option<Self> {
        let source_port = u16_at(&bytes, 0)?;
        let destination_port = u16_at(&bytes, 2)?;
        let tag = u32_at(&bytes, 4)?;
        let sum = u32::from_le_bytes(bytes.get(8..HEADER)?.try_into().ok()?);
        let unchecked = sum == 0 && bytes.get(HEADER) != Some(&kind::INIT);
        if source_port == 0 || destination_port == 0 || (!unchecked && sum != checksum(&bytes)) {
            return None;
        }
        Some(Self { source_port, destination_port, tag, bytes })
    }

    /// The chunks, up to the first one that does not fit.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Chunk> {
        let bytes = self.bytes.clone();
        let mut at = HEADER;
        std::iter::from_fn(move || {
            let kind = *bytes.get(at)?;
            let flags = *bytes.get(at + 1)?;
            let length = usize::from(u16_at(&bytes, at + 2)?);
            if length < 4 || at + length > bytes.len() {
                return None;
            }
            let value = bytes.slice(at + 4..at + length);
            at += padded(length);
            Some(Chunk { kind, flags, value })
        })
    }

    /// Bytes of the packet, which every view of it keeps in memory.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}
