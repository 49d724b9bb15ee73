#![allow(clippy::unwrap_used, clippy::panic)]

mod rules;
mod window;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::packet::{Extensions, Handle};

/// The header of a packet of a track: frame number, marker, sequence number.
fn header(frame_number: u16, marker: Marker, sequence: u16) -> Header {
    Header {
        marker,
        handle: Handle::new(1).unwrap(),
        sequence,
        frame_number,
        timestamp: u32::from(frame_number) * 90,
        extensions: Extensions::default(),
    }
}

/// The header of packet `index` of a frame of `count` packets that starts with sequence number `first`.
fn nth(frame_number: u16, first: u16, index: u16, count: u16) -> Header {
    let marker = match index {
        0 if count == 1 => Marker::Single,
        0 => Marker::Start,
        _ if index + 1 == count => Marker::Final,
        _ => Marker::Inter,
    };
    header(frame_number, marker, first.wrapping_add(index))
}

struct Harness {
    depacketizer: Depacketizer,
    now: Instant,
}

impl Harness {
    fn new(options: DepacketizerOptions) -> Self {
        Self { depacketizer: Depacketizer::new(options), now: Instant::from_millis(1_000) }
    }

    fn with_slots(max_partial_frames: usize) -> Self {
        Self::new(DepacketizerOptions { max_partial_frames, ..DepacketizerOptions::default() })
    }

    /// Hands in a packet whose payload says which one it is, and checks the counters.
    fn take(&mut self, header: Header) -> Outcome {
        let payload = Bytes::copy_from_slice(
            &[header.frame_number.to_be_bytes(), header.sequence.to_be_bytes()].concat(),
        );
        let outcome = self.depacketizer.handle_packet(&header, payload, self.now);
        assert!(self.depacketizer.stats().closes(), "{:?}", self.depacketizer.stats());
        outcome
    }

    fn pending(&mut self, header: Header) {
        let outcome = self.take(header);
        assert!(matches!(outcome, Outcome::Pending), "{header:?}: {outcome:?}");
    }

    fn dropped(&mut self, header: Header, reason: PacketDrop) {
        match self.take(header) {
            Outcome::Dropped(actual) => assert_eq!(actual, reason, "{header:?}"),
            outcome => panic!("{header:?}: {outcome:?}"),
        }
    }

    fn frame(&mut self, header: Header) -> AssembledFrame {
        match self.take(header) {
            Outcome::Frame(frame) => frame,
            outcome => panic!("{header:?}: {outcome:?}"),
        }
    }

    /// Hands in a frame of one packet and expects it to be delivered.
    fn single(&mut self, number: u16) {
        let frame = self.frame(nth(number, number, 0, 1));
        assert_eq!(frame.number, number);
    }

    fn advance(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.depacketizer.handle_timeout(self.now);
        assert!(self.depacketizer.stats().closes());
    }

    fn frames_dropped(&self, reason: FrameDrop) -> u64 {
        self.depacketizer.stats().dropped.get(reason)
    }
}

/// The payload that [`Harness::take`] put into the packets of a frame.
fn expected(number: u16, first: u16, count: u16) -> Vec<u8> {
    (0..count)
        .flat_map(|index| [number.to_be_bytes(), first.wrapping_add(index).to_be_bytes()].concat())
        .collect()
}
