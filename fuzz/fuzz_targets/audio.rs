//! Any packets of an audio track at any times, sealed or not: only what a key opens is decoded, the counters add up, and
//! what waits is bounded.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use datatrack::e2ee::{
    FrameSealer, KeyDerivation, KeyOptions, KeyScope, OpenOutcome, OpeningKeys, SealingKeys, SystemIvRandom,
};
use datatrack_media::{
    Arrived, MAX_HELD, OPUS_HEAD, Packet, SEALED_OVERHEAD, Sink, SinkOptions, read_frame, seal_frame,
};
use datatrack_opus::{OpusDecoder, RATES};
use libfuzzer_sys::fuzz_target;

const TRAILER: &[u8] = b"trailer";
/// What a server's own frames are, whatever it sends.
const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

#[derive(Debug, Arbitrary)]
struct Input {
    rate: u8,
    stereo: bool,
    frame: u16,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    /// A packet that follows the last one by so much.
    Packet {
        ahead: i16,
        ticks: i32,
        repaired: bool,
        payload: Vec<u8>,
    },
    /// Of an encrypted track, as it came.
    Encrypted {
        payload: Vec<u8>,
        trailed: bool,
    },
    /// Sealed with the key, and then damaged.
    Sealed {
        payload: Vec<u8>,
        damage: Option<(u16, u8)>,
        cut: u16,
    },
    Restart,
    Wait(u16),
    Read,
}

struct Keys {
    sealing: SealingKeys,
    sealer: FrameSealer,
    opening: OpeningKeys,
}

impl Keys {
    fn new() -> Self {
        let options = KeyOptions::shared(KeyDerivation::Hkdf);
        let (mut sealing, mut opening) = (SealingKeys::new(options), OpeningKeys::new(options));
        sealing.set_key(0, &b"key"[..]).expect("index 0");
        opening.set_key(KeyScope::Shared, 0, &b"key"[..]).expect("index 0");
        let derivation = sealing.poll_derivation().expect("a key was set");
        sealing.handle_derived(derivation.run());
        let derivation = opening.poll_derivation().expect("a key was set");
        opening.handle_derived(derivation.run(), datatrack::Instant::ZERO);
        Self { sealing, sealer: FrameSealer::new(), opening }
    }

    fn seal(&mut self, frame: &[u8]) -> Vec<u8> {
        seal_frame(frame, OPUS_HEAD, |head, payload, room| {
            self.sealer.seal_with_head_into(&self.sealing, &mut SystemIvRandom::new(), head, payload, room)
        })
        .expect("there is a key")
    }

    fn open(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        match read_frame(frame, OPUS_HEAD, TRAILER) {
            Arrived::Plain(frame) => Some(frame),
            Arrived::Refused => None,
            Arrived::Sealed(sealed) => {
                match self.opening.open_frame("alice", sealed.parts(), datatrack::Instant::ZERO) {
                    OpenOutcome::Opened(payload) => Some(sealed.with(&payload)),
                    _ => None,
                }
            }
        }
    }
}

fuzz_target!(|input: Input| {
    let sample_rate = RATES[usize::from(input.rate) % RATES.len()];
    let channels = if input.stereo { 2 } else { 1 };
    let decoder = OpusDecoder::new(sample_rate, channels).expect("one of its rates");
    let options = SinkOptions { sample_rate, channels, frame: usize::from(input.frame) };
    let frame = options.frame.max(1);
    let mut now = *START;
    let mut sink = Sink::new(options, Box::new(decoder), now);
    let mut keys = Keys::new();
    let (mut sequence, mut time) = (1u64 << 32, 1u64 << 40);
    let mut given = 0;
    for step in input.steps {
        let (payload, repaired) = match step {
            Step::Packet { ahead, ticks, repaired, payload } => {
                sequence = sequence.wrapping_add_signed(ahead.into());
                time = time.wrapping_add_signed(ticks.into());
                (Some(payload), repaired)
            }
            Step::Encrypted { mut payload, trailed } => {
                if trailed {
                    payload.extend_from_slice(TRAILER);
                }
                let opened = keys.open(&payload);
                assert!(opened.as_ref().is_none_or(|opened| opened.is_empty() || *opened == SILENCE));
                (opened, false)
            }
            Step::Sealed { payload, damage, cut } => {
                let whole = keys.seal(&payload);
                let mut sealed = whole.clone();
                if let Some((at, bits)) = damage
                    && let Some(byte) = sealed.get_mut(usize::from(at) % (whole.len() + 1))
                {
                    *byte ^= bits;
                }
                sealed.truncate(whole.len() - usize::from(cut) % (whole.len() + 1));
                let opened = keys.open(&sealed);
                if sealed == whole {
                    assert_eq!(opened.as_ref(), Some(&payload));
                    assert!(payload.is_empty() || whole.len() == payload.len() + SEALED_OVERHEAD);
                } else {
                    assert!(opened.is_none_or(|opened| opened.is_empty() && sealed.is_empty()));
                }
                continue;
            }
            Step::Restart => {
                sink.restart();
                continue;
            }
            Step::Wait(ms) => {
                now += Duration::from_millis(ms.into());
                sink.handle_timeout(now);
                assert!(sink.poll_timeout() > now);
                continue;
            }
            Step::Read => {
                assert!(sink.read().is_none_or(|read| read.len() == frame * usize::from(channels)));
                continue;
            }
        };
        given += 1;
        match payload {
            Some(payload) => {
                sink.handle_packet(Packet { sequence, time, payload: payload.into(), repaired }, now)
            }
            None => sink.handle_undecryptable(),
        }
        let stats = sink.stats();
        assert_eq!(stats.received, given);
        let became = stats.decoded
            + stats.late
            + stats.duplicate
            + stats.invalid
            + stats.surplus
            + stats.discarded
            + stats.undecryptable
            + stats.held;
        assert_eq!(stats.received, became);
        assert_eq!(stats.produced, stats.delivered + stats.dropped + stats.queued);
        assert!(stats.held <= MAX_HELD as u64 + 1);
        assert!(stats.queued <= (u64::from(sample_rate) / frame as u64).max(2));
    }
});
