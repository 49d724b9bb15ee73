//! Any packets at any times: the counters add up, memory is bounded, and each delivered frame is whole.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use datatrack::{Instant, PIECE_OVERHEAD};
use datatrack::depacketizer::{Depacketizer, DepacketizerOptions, Outcome};
use datatrack::packet::{Extensions, Handle, Header, Marker};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    options: Options,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
struct Options {
    partial_frames: u8,
    timeout_ms: u16,
    packets: u16,
    bytes: u32,
}

#[derive(Debug, Arbitrary)]
enum Step {
    /// Anywhere in the number spaces.
    Far {
        marker: u8,
        sequence: u16,
        frame: u16,
        len: u8,
    },
    /// Near each other, so that frames are completed.
    Near {
        marker: u8,
        sequence: u8,
        frame: u8,
        len: u8,
    },
    /// A whole frame, in order.
    Frame {
        frame: u16,
        sequence: u16,
        packets: u8,
    },
    Wait {
        ms: u16,
    },
    Back {
        ms: u8,
    },
    Timeout,
    Options(Options),
    Close,
}

impl From<&Options> for DepacketizerOptions {
    fn from(options: &Options) -> Self {
        Self {
            max_partial_frames: options.partial_frames.into(),
            partial_frame_timeout: Duration::from_millis(options.timeout_ms.into()),
            max_packets_per_frame: options.packets,
            max_frame_len: options.bytes as usize,
        }
    }
}

struct Checked {
    depacketizer: Depacketizer,
    /// The largest limits so far. An open frame keeps the packet limit that it was opened with.
    max_packets: usize,
    max_len: usize,
    now: Duration,
}

impl Checked {
    fn take(&mut self, marker: Marker, sequence: u16, frame_number: u16, len: u8) {
        let header = Header {
            marker,
            handle: Handle::new(1).expect("1 is a handle"),
            sequence,
            frame_number,
            timestamp: frame_number.into(),
            extensions: Extensions::default(),
        };
        // A payload tells its frame and its sequence number, if it is long enough.
        let mut payload = [frame_number.to_be_bytes(), sequence.to_be_bytes()].concat();
        payload.resize(usize::from(len) + 4, 0);
        let now = Instant::ZERO + self.now;
        if let Outcome::Frame(frame) = self.depacketizer.handle_packet(&header, Bytes::from(payload), now) {
            assert_eq!(frame.number, frame_number);
            assert!(frame.payload.len() <= self.max_len);
            let pieces = frame.payload.pieces();
            assert!(!pieces.is_empty() && pieces.len() <= self.max_packets);
            let first = u16::from_be_bytes([pieces[0][2], pieces[0][3]]);
            for (index, piece) in (0..).zip(pieces) {
                assert_eq!(piece[..2], frame_number.to_be_bytes());
                assert_eq!(piece[2..4], first.wrapping_add(index).to_be_bytes());
            }
        }
        self.check();
    }

    fn options(&mut self, options: &Options) {
        let options = DepacketizerOptions::from(options);
        self.depacketizer.set_options(options);
        let options = self.depacketizer.options();
        self.max_packets = self.max_packets.max(options.max_packets_per_frame.into());
        self.max_len = self.max_len.max(options.max_frame_len);
        self.check();
    }

    fn check(&self) {
        let stats = self.depacketizer.stats();
        assert!(stats.closes(), "{stats:?}");
        assert!(stats.open <= self.depacketizer.options().max_partial_frames as u64);
        assert_eq!(self.depacketizer.poll_timeout().is_some(), stats.open > 0);
        let most = stats.open as usize * self.max_packets;
        assert!(self.depacketizer.held_packets() <= most);
        let payloads = (stats.open as usize).saturating_mul(self.max_len);
        assert!(self.depacketizer.held_bytes() <= payloads.saturating_add(most * PIECE_OVERHEAD));
    }
}

fuzz_target!(|input: Input| {
    let depacketizer = Depacketizer::new(DepacketizerOptions::from(&input.options));
    let mut checked = Checked { depacketizer, max_packets: 0, max_len: 0, now: Duration::ZERO };
    checked.options(&input.options);
    for step in &input.steps {
        match *step {
            Step::Far { marker, sequence, frame, len } => {
                checked.take(marker_of(marker), sequence, frame, len)
            }
            Step::Near { marker, sequence, frame, len } => {
                checked.take(marker_of(marker), (sequence % 16).into(), (frame % 8).into(), len);
            }
            Step::Frame { frame, sequence, packets } => {
                for index in 0..packets.max(1) {
                    let marker = match (index, index + 1 >= packets) {
                        (0, true) => Marker::Single,
                        (0, false) => Marker::Start,
                        (_, true) => Marker::Final,
                        (_, false) => Marker::Inter,
                    };
                    checked.take(marker, sequence.wrapping_add(index.into()), frame, 0);
                }
            }
            Step::Wait { ms } => checked.now += Duration::from_millis(ms.into()),
            Step::Back { ms } => checked.now = checked.now.saturating_sub(Duration::from_millis(ms.into())),
            Step::Timeout => {
                let now = Instant::ZERO + checked.now;
                checked.depacketizer.handle_timeout(now);
                checked.check();
                assert!(checked.depacketizer.poll_timeout().is_none_or(|deadline| deadline > now));
            }
            Step::Options(ref options) => checked.options(options),
            Step::Close => {
                checked.depacketizer.close();
                assert_eq!(checked.depacketizer.stats().open, 0);
                checked.check();
            }
        }
    }
});

fn marker_of(number: u8) -> Marker {
    match number % 4 {
        0 => Marker::Single,
        1 => Marker::Start,
        2 => Marker::Inter,
        _ => Marker::Final,
    }
}
