//! A frame that misses packets.

use bytes::Bytes;

use crate::frame::{AssembledFrame, PIECE_OVERHEAD, Payload};
use crate::packet::{Extensions, Header, Marker};
use crate::time::Instant;

/// With more entries than this, a finished frame's buffers are freed instead of reused for the next frame.
const KEPT_CAPACITY: usize = 256;

/// The packets that have arrived, in the order of their arrival, and what they say about the frame.
///
/// What a packet claims allocates nothing. There is one entry for each packet that arrived, and one bit for each packet
/// that the options allow.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) number: u16,
    pub(super) last_packet_at: Instant,
    /// How many newer frames were opened since this one was.
    pub(super) newer_opened: usize,
    /// Set once the start packet has arrived.
    timestamp: u32,
    extensions: Extensions,
    start: bool,
    end: bool,
    /// Whether each packet that arrived came after all earlier packets of the frame.
    in_order: bool,
    max_packets: u16,
    /// The first sequence number that has arrived.
    first: u16,
    /// The distance from `first` to the last sequence number that has arrived.
    span: u16,
    /// Bytes of payload.
    len: usize,
    store: Store,
}

/// The allocations of a partial frame. A finished frame hands them on to the next one.
#[derive(Debug, Default)]
pub(super) struct Store {
    pieces: Vec<Bytes>,
    sequences: Vec<u16>,
    /// A bit for each sequence number that has arrived, modulo this bit set's length. No frame is longer than that.
    present: Vec<u64>,
}

/// The result of adding a packet to its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Insertion {
    /// It was added, and others are missing.
    Missing,
    /// It was added, and it was the last missing one.
    Complete,
    /// The same packet arrived before.
    Duplicate,
    /// It contradicts the other packets, or exceeds the limits.
    Inconsistent,
}

impl Store {
    fn clear(&mut self, max_packets: u16) {
        self.pieces.clear();
        self.sequences.clear();
        self.present.clear();
        self.present.resize(usize::from(max_packets).next_power_of_two().div_ceil(64), 0);
    }

    /// Word and bit of a sequence number. The number of words is a power of two, so this also holds when the number
    /// wraps.
    fn place(&self, sequence: u16) -> (usize, u64) {
        let words = self.present.len().max(1);
        (usize::from(sequence) / 64 % words, 1 << (sequence % 64))
    }

    fn has(&self, sequence: u16) -> bool {
        let (word, bit) = self.place(sequence);
        self.present.get(word).is_some_and(|word| word & bit != 0)
    }

    fn push(&mut self, sequence: u16, piece: Bytes) {
        let (word, bit) = self.place(sequence);
        if let Some(word) = self.present.get_mut(word) {
            *word |= bit;
        }
        self.sequences.push(sequence);
        self.pieces.push(piece);
    }

    /// Whether it is small enough to be kept for the next frame.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.pieces.capacity() <= KEPT_CAPACITY
    }
}

impl Partial {
    /// A frame without packets. The first packet must be inserted at once.
    pub(super) fn new(header: &Header, max_packets: u16, now: Instant, mut store: Store) -> Self {
        store.clear(max_packets);
        Self {
            number: header.frame_number,
            last_packet_at: now,
            newer_opened: 0,
            timestamp: header.timestamp,
            extensions: header.extensions,
            start: false,
            end: false,
            in_order: true,
            max_packets,
            first: header.sequence,
            span: 0,
            len: 0,
            store,
        }
    }

    /// The number of packets that have arrived.
    pub(super) fn packets(&self) -> usize {
        self.store.pieces.len()
    }

    /// Memory of the packets that have arrived, in bytes.
    pub(super) fn kept_bytes(&self) -> usize {
        self.len + self.packets() * PIECE_OVERHEAD
    }

    #[inline]
    pub(super) fn insert(&mut self, header: &Header, payload: Bytes, max_len: usize) -> Insertion {
        let sequence = header.sequence;
        let offset = sequence.wrapping_sub(self.first);
        let is_first_packet = self.store.pieces.is_empty();
        // Serial arithmetic: up to half of the number space, the packet comes after the first one, else before it.
        let (first, span) = if offset < 1 << 15 {
            if offset <= self.span && self.store.has(sequence) {
                return Insertion::Duplicate;
            }
            (self.first, self.span.max(offset))
        } else {
            (sequence, self.span.saturating_add(self.first.wrapping_sub(sequence)))
        };
        let is_last = sequence == first.wrapping_add(span);
        let moved_first = first != self.first;
        let moved_last = is_last && !is_first_packet && offset > self.span && !moved_first;
        let contradicts = match header.marker {
            Marker::Start => self.start || sequence != first,
            Marker::Final => self.end || !is_last,
            Marker::Inter | Marker::Single => false,
        } || (self.start && moved_first)
            || (self.end && moved_last)
            || header.marker == Marker::Single;
        let Some(len) = self.len.checked_add(payload.len()).filter(|&len| len <= max_len) else {
            return Insertion::Inconsistent;
        };
        if contradicts || span >= self.max_packets {
            return Insertion::Inconsistent;
        }

        match header.marker {
            Marker::Start => {
                self.start = true;
                self.timestamp = header.timestamp;
                self.extensions = header.extensions;
            }
            Marker::Final => self.end = true,
            Marker::Inter | Marker::Single => {}
        }
        self.in_order &= is_last;
        (self.first, self.span, self.len) = (first, span, len);
        self.store.push(sequence, payload);
        if self.start && self.end && self.store.pieces.len() == usize::from(span) + 1 {
            Insertion::Complete
        } else {
            Insertion::Missing
        }
    }

    /// The frame, after the last insertion completed it.
    pub(super) fn into_frame(mut self) -> (AssembledFrame, Store) {
        let Store { pieces, sequences, .. } = &mut self.store;
        let payload = if self.in_order {
            Payload::from_pieces(pieces.drain(..))
        } else {
            let mut ordered = vec![Bytes::new(); pieces.len()];
            for (&sequence, piece) in sequences.iter().zip(pieces.drain(..)) {
                if let Some(place) = ordered.get_mut(usize::from(sequence.wrapping_sub(self.first))) {
                    *place = piece;
                }
            }
            Payload::from_pieces(ordered)
        };
        let frame = AssembledFrame {
            number: self.number,
            timestamp: self.timestamp,
            extensions: self.extensions,
            payload,
        };
        (frame, self.store)
    }

    /// The allocations, without the packets.
    pub(super) fn into_store(mut self) -> Store {
        self.store.clear(0);
        self.store
    }
}
