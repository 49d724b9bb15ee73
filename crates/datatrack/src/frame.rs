use std::sync::Arc;

use bytes::Bytes;

use crate::packet::Extensions;

/// A frame as the depacketizer delivers it: complete, and still sealed if its track is encrypted.
#[derive(Debug, Clone)]
pub struct AssembledFrame {
    /// The publisher's frame number, modulo 2¹⁶. Frames come in the order of completion. With this number a caller can
    /// reorder them.
    pub number: u16,
    /// The packets' timestamp, in ticks of 90 kHz from a random base.
    pub timestamp: u32,
    /// The extensions of the frame's start packet.
    pub extensions: Extensions,
    /// The payloads of all packets, in order.
    pub payload: Payload,
}

/// Memory of a received packet besides its payload, in bytes: its header, the buffer's own record, an entry in a list,
/// and the allocator's overhead. So frames without a payload count, too.
pub const PIECE_OVERHEAD: usize = 128;

/// A frame's bytes: one or more pieces of received packets. The pieces are shared. They are copied only when the caller
/// asks for it.
#[derive(Debug, Clone)]
pub struct Payload {
    pieces: Pieces,
    len: usize,
}

#[derive(Debug, Clone)]
enum Pieces {
    One(Bytes),
    Many(Arc<[Bytes]>),
}

impl Payload {
    /// A payload of several pieces, in order.
    pub fn from_pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: Arc<[Bytes]> = pieces.into_iter().collect();
        Self { len: pieces.iter().map(Bytes::len).sum(), pieces: Pieces::Many(pieces) }
    }

    /// Bytes in all.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Memory of the frame while it is kept, in bytes: the payload, and [`PIECE_OVERHEAD`] for each piece.
    pub fn kept_bytes(&self) -> usize {
        self.len + self.pieces().len() * PIECE_OVERHEAD
    }

    /// Whether it has no bytes. An empty frame is a valid frame.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Bytes] {
        match &self.pieces {
            Pieces::One(piece) => std::slice::from_ref(piece),
            Pieces::Many(pieces) => pieces,
        }
    }

    /// Copies all bytes to the start of `target` and returns their number.
    ///
    /// Returns `None` if `target` is too short. Then nothing is written.
    pub fn copy_to(&self, target: &mut [u8]) -> Option<usize> {
        let mut rest = target.get_mut(..self.len)?;
        for piece in self.pieces() {
            let (here, after) = rest.split_at_mut_checked(piece.len())?;
            here.copy_from_slice(piece);
            rest = after;
        }
        Some(self.len)
    }

    /// The bytes in one piece. A single piece is shared; several pieces are copied together.
    pub fn to_bytes(&self) -> Bytes {
        match &self.pieces {
            Pieces::One(piece) => piece.clone(),
            Pieces::Many(pieces) => pieces.concat().into(),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self { len: bytes.len(), pieces: Pieces::One(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_together_in_order() {
        let payload =
            Payload::from_pieces(vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cde")]);
        assert_eq!(payload.len(), 5);
        assert_eq!(&payload.to_bytes()[..], b"abcde");
        let mut target = [b'.'; 7];
        assert_eq!(payload.copy_to(&mut target), Some(5));
        assert_eq!(&target, b"abcde..");
    }

    #[test]
    fn a_short_target_is_left_alone() {
        let payload = Payload::from(Bytes::from_static(b"abc"));
        let mut target = [b'.'; 2];
        assert_eq!(payload.copy_to(&mut target), None);
        assert_eq!(&target, b"..");
    }

    #[test]
    fn an_empty_payload_is_a_payload() {
        let payload = Payload::from(Bytes::new());
        assert!(payload.is_empty());
        assert_eq!(payload.copy_to(&mut []), Some(0));
    }
}
