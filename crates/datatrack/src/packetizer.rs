//! From frames to packets.

use std::ops::Range;

use thiserror::Error;

use crate::packet::{Extensions, Handle, Header, MTU, Marker};

/// The default for how many packets a frame may have. LiveKit's clients can assemble as many.
pub const DEFAULT_MAX_PACKETS_PER_FRAME: u16 = 128;

/// The most packets that a frame may have. Up to this number, sequence numbers tell which of two packets comes first.
pub const MAX_PACKETS_PER_FRAME: u16 = 32_767;

/// Options of a [`Packetizer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketizerOptions {
    /// How many packets a frame may have: 1 to 32,767, 128 by default. Values outside of the range are clamped. Only
    /// this crate can assemble more than 128 packets, and only if the subscriber allows it.
    pub max_packets_per_frame: u16,
}

impl Default for PacketizerOptions {
    fn default() -> Self {
        Self { max_packets_per_frame: DEFAULT_MAX_PACKETS_PER_FRAME }
    }
}

/// Cuts the frames of one track into packets.
#[derive(Debug)]
pub struct Packetizer {
    handle: Handle,
    max_packets: u16,
    sequence: u16,
    frame_number: u16,
}

/// A frame has more bytes than its packets may hold. Nothing was written, and no frame number was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a frame of {size} bytes is too large: at most {max} fit")]
pub struct FrameTooLarge {
    /// Bytes of the frame on the wire: the authentication tag included, headers not.
    pub size: usize,
    /// The most bytes that a frame may have.
    pub max: usize,
}

/// The layout of a frame's packets, which follow one another. Each packet except the last is exactly [`MTU`] bytes
/// long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLayout {
    /// The number of packets, at least one.
    pub packets: u16,
    /// Length of each packet's header, in bytes.
    pub header_len: usize,
    /// Length of all packets together, in bytes.
    pub total_len: usize,
}

impl FrameLayout {
    /// The range of packet `index`, in bytes from the frame's start. `None` if the frame has fewer packets.
    #[inline]
    pub fn range(&self, index: u16) -> Option<Range<usize>> {
        let start = usize::from(index) * MTU;
        (index < self.packets).then(|| start..self.total_len.min(start + MTU))
    }

    /// For a frame of one packet: the range of payload and trailer, in bytes from the frame's start.
    #[inline]
    pub fn payload_range_of_single(&self) -> Option<Range<usize>> {
        (self.packets == 1).then_some(self.header_len..self.total_len)
    }
}

impl Packetizer {
    /// A packetizer for a track that has sent nothing: its first sequence and frame numbers are 0.
    pub fn new(handle: Handle, options: PacketizerOptions) -> Self {
        let max_packets = options.max_packets_per_frame.clamp(1, MAX_PACKETS_PER_FRAME);
        Self { handle, max_packets, sequence: 0, frame_number: 0 }
    }

    /// The track's handle.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// The number of the next frame.
    pub const fn next_frame_number(&self) -> u16 {
        self.frame_number
    }

    /// How many bytes a frame may have on the wire, the authentication tag included, when each of its packets has a
    /// header of `header_len` bytes ([`Extensions::header_len`]).
    #[inline]
    pub const fn max_frame_len(&self, header_len: usize) -> usize {
        self.max_packets as usize * MTU.saturating_sub(header_len)
    }

    /// Appends the packets of a frame to `out`, one after the other. Each packet except the last is [`MTU`] bytes long.
    ///
    /// `trailer` zero bytes follow the payload. An authentication tag can be written over them. An empty frame is one
    /// packet without payload. `timestamp` is in ticks of 90 kHz.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`] if payload and trailer are longer than [`Self::max_frame_len`]. Then nothing has changed.
    #[inline]
    pub fn packetize(
        &mut self,
        payload: &[u8],
        trailer: usize,
        extensions: Extensions,
        timestamp: u32,
        out: &mut Vec<u8>,
    ) -> Result<FrameLayout, FrameTooLarge> {
        let header_len = extensions.header_len();
        let size = payload.len().saturating_add(trailer);
        let mut header = Header {
            marker: Marker::Single,
            handle: self.handle,
            sequence: self.sequence,
            frame_number: self.frame_number,
            timestamp,
            extensions,
        };
        if size > MTU - header_len {
            header.marker = Marker::Start;
            return self.packetize_many(payload, trailer, header, out);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.frame_number = self.frame_number.wrapping_add(1);
        let total_len = header_len + size;
        out.reserve(total_len);
        append_header(out, &header.to_array(), header_len);
        out.extend_from_slice(payload);
        append_zeros(out, trailer);
        Ok(FrameLayout { packets: 1, header_len, total_len })
    }

    #[inline(never)]
    fn packetize_many(
        &mut self,
        payload: &[u8],
        trailer: usize,
        header: Header,
        out: &mut Vec<u8>,
    ) -> Result<FrameLayout, FrameTooLarge> {
        let header_len = header.len();
        let room = MTU - header_len;
        let size = payload.len().saturating_add(trailer);
        let max = self.max_frame_len(header_len);
        let packets = match u16::try_from(size.div_ceil(room)) {
            Ok(packets) if size <= max => packets,
            _ => return Err(FrameTooLarge { size, max }),
        };
        let total_len = size + usize::from(packets) * header_len;
        out.reserve(total_len);

        let mut bytes = header.to_array();
        let mut payload = payload;
        let mut trailer = trailer;
        for index in 0..packets {
            let marker = match index {
                0 => Marker::Start,
                _ if index + 1 == packets => Marker::Final,
                _ => Marker::Inter,
            };
            bytes[0] = Header::first_byte(marker, &header.extensions);
            [bytes[4], bytes[5]] = header.sequence.wrapping_add(index).to_be_bytes();
            append_header(out, &bytes, header_len);
            let (here, rest) = payload.split_at_checked(room).unwrap_or((payload, &[]));
            out.extend_from_slice(here);
            payload = rest;
            let zeros = trailer.min(room - here.len());
            append_zeros(out, zeros);
            trailer -= zeros;
        }
        self.sequence = self.sequence.wrapping_add(packets);
        self.frame_number = self.frame_number.wrapping_add(1);
        Ok(FrameLayout { packets, header_len, total_len })
    }
}

#[inline]
fn append_header(out: &mut Vec<u8>, bytes: &[u8; crate::packet::MAX_HEADER_LEN], len: usize) {
    if let Some(bytes) = bytes.get(..len) {
        out.extend_from_slice(bytes);
    }
}

#[inline]
fn append_zeros(out: &mut Vec<u8>, many: usize) {
    if many > 0 {
        out.resize(out.len() + many, 0);
    }
}

#[cfg(test)]
mod tests;
