use std::collections::VecDeque;

use super::options::PublishOptions;
use super::queue::{BufferPool, FrameQueue, QueuedFrame};
use super::{PublishRequest, PushFrameError, WhenFull};
use crate::e2ee::{FrameSealError, FrameSealer, IvRandom, SealingKeys, TAG_LEN};
use crate::info::{EncryptionType, TrackInfo};
use crate::packet::{E2eeExtension, Extensions, Handle, MTU};
use crate::packetizer::{FrameTooLarge, Packetizer};
use crate::stats::{SendDrop, SendStats};
use crate::time::Instant;

/// What tells the last frame of a track from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastFrame {
    /// The frame number, modulo 2¹⁶.
    pub number: u16,
    /// The packets' timestamp, in ticks of 90 kHz from a random base.
    pub timestamp: u32,
}

/// A publication, from its request to its end.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) handle: Handle,
    pub(super) options: PublishOptions,
    pub(super) state: TrackState,
    pub(super) queue: FrameQueue,
    pub(super) stats: SendStats,
    /// Whether the handle is in the publisher's list of tracks with packets.
    pub(super) listed: bool,
    /// Whether a publish request was ever sent to the SFU.
    pub(super) requested: bool,
    /// The level of the requested [`BufferedAmountLow`](super::PublisherEvent::BufferedAmountLow).
    pub(super) watch: Option<usize>,
    packetizer: Packetizer,
    /// The packets' timestamp of the last frame that was accepted.
    last_timestamp: u32,
    sealer: FrameSealer,
    held: HeldFrames,
}

#[derive(Debug, Clone)]
pub(super) enum TrackState {
    /// The first publish request is pending. `handle_retried`: a duplicate handle was reported once already.
    Pending { deadline: Instant, handle_retried: bool },
    /// Frames can be pushed.
    Published(TrackInfo),
    /// The publish request is pending again, after the connection was rebuilt.
    Republishing { deadline: Instant, handle_retried: bool },
}

/// Plaintext frames that wait for the first key.
#[derive(Debug, Default)]
struct HeldFrames {
    frames: VecDeque<HeldFrame>,
    bytes: usize,
}

#[derive(Debug)]
struct HeldFrame {
    payload: Vec<u8>,
    user_timestamp: Option<u64>,
    timestamp: u32,
    pushed_at: Instant,
}

/// A frame that is being pushed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming<'a> {
    pub(super) payload: &'a [u8],
    pub(super) user_timestamp: Option<u64>,
    pub(super) timestamp: u32,
    pub(super) pushed_at: Instant,
}

/// What is needed to seal a frame.
pub(super) struct Sealing<'a> {
    pub(super) keys: &'a SealingKeys,
    pub(super) random: &'a mut dyn IvRandom,
    /// Buffer of the sealed frame before it is cut into packets.
    pub(super) scratch: &'a mut Vec<u8>,
}

impl Track {
    pub(super) fn new(handle: Handle, options: PublishOptions, deadline: Instant) -> Self {
        Self {
            handle,
            state: TrackState::Pending { deadline, handle_retried: false },
            queue: FrameQueue::new(options.queue),
            stats: SendStats::default(),
            listed: false,
            requested: false,
            watch: None,
            packetizer: Packetizer::new(handle, options.packetizer),
            last_timestamp: 0,
            sealer: FrameSealer::new(),
            held: HeldFrames::default(),
            options,
        }
    }

    pub(super) fn request(&self) -> PublishRequest {
        PublishRequest {
            handle: self.handle,
            name: self.options.name.clone(),
            encryption: self.encryption(),
            frame_encoding: self.options.frame_encoding.clone(),
            schema: self.options.schema.clone(),
        }
    }

    pub(super) const fn encryption(&self) -> EncryptionType {
        if self.options.encrypted { EncryptionType::Gcm } else { EncryptionType::None }
    }

    /// When an unanswered request times out.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self.state {
            TrackState::Pending { deadline, .. } | TrackState::Republishing { deadline, .. } => {
                Some(deadline)
            }
            TrackState::Published(_) => None,
        }
    }

    /// Bytes that wait, packetized or for a key.
    pub(super) const fn buffered(&self) -> usize {
        self.queue.bytes() + self.held.bytes
    }

    pub(super) fn stats(&self) -> SendStats {
        SendStats {
            queued: (self.queue.len() + self.held.frames.len()) as u64,
            queued_bytes: self.buffered() as u64,
            ..self.stats
        }
    }

    /// The last frame that was accepted. A frame that waits for a key gets its number later, so this is the number that
    /// it will have unless a frame before it is dropped.
    pub(super) fn last_frame(&self) -> Option<LastFrame> {
        if self.stats.pushed == 0 {
            return None;
        }
        // The number of held frames is bounded below this.
        let held = u16::try_from(self.held.frames.len()).unwrap_or(u16::MAX);
        let number = self.packetizer.next_frame_number().wrapping_add(held).wrapping_sub(1);
        Some(LastFrame { number, timestamp: self.last_timestamp })
    }

    /// The length of each packet's header, in bytes.
    const fn header_len(&self, with_timestamp: bool) -> usize {
        let iv = E2eeExtension { key_index: 0, iv: [0; 12] };
        let extensions = Extensions {
            e2ee: if self.options.encrypted { Some(iv) } else { None },
            user_timestamp: if with_timestamp { Some(0) } else { None },
        };
        extensions.header_len()
    }

    /// The longest payload of a frame, in bytes.
    pub(super) const fn max_payload(&self, with_timestamp: bool) -> usize {
        let wire = self.packetizer.max_frame_len(self.header_len(with_timestamp));
        if self.options.encrypted { wire.saturating_sub(TAG_LEN) } else { wire }
    }

    fn check_len(&self, incoming: &Incoming<'_>) -> Result<(), PushFrameError> {
        let max = self.max_payload(incoming.user_timestamp.is_some());
        let size = incoming.payload.len();
        if size > max { Err(PushFrameError::FrameTooLarge { size, max }) } else { Ok(()) }
    }

    /// Pushes a frame of a track without encryption.
    pub(super) fn push_plain(
        &mut self,
        incoming: Incoming<'_>,
        pool: &mut BufferPool,
    ) -> Result<(), PushFrameError> {
        self.check_len(&incoming)?;
        let extensions = Extensions { e2ee: None, user_timestamp: incoming.user_timestamp };
        self.enqueue(incoming, extensions, pool)
    }

    /// Pushes a frame that the application sealed. Its payload ends with the tag.
    pub(super) fn push_sealed(
        &mut self,
        incoming: Incoming<'_>,
        e2ee: E2eeExtension,
        pool: &mut BufferPool,
    ) -> Result<(), PushFrameError> {
        let extensions = Extensions { e2ee: Some(e2ee), user_timestamp: incoming.user_timestamp };
        let max = self.packetizer.max_frame_len(extensions.header_len());
        let size = incoming.payload.len();
        if size > max {
            return Err(PushFrameError::FrameTooLarge { size, max });
        }
        self.enqueue(incoming, extensions, pool)
    }

    /// Seals a frame and queues it.
    pub(super) fn push_encrypted(
        &mut self,
        incoming: Incoming<'_>,
        sealing: &mut Sealing<'_>,
        pool: &mut BufferPool,
    ) -> Result<(), PushFrameError> {
        self.check_len(&incoming)?;
        let sealed_len = incoming.payload.len() + TAG_LEN;
        let header_len = self.header_len(incoming.user_timestamp.is_some());
        if self.queue.refuses(wire_len(sealed_len, header_len)) {
            return Err(PushFrameError::QueueFull);
        }
        sealing.scratch.resize(sealed_len, 0);
        let with = self
            .sealer
            .seal_into(sealing.keys, sealing.random, incoming.payload, sealing.scratch)
            .map_err(|error| match error {
                FrameSealError::NoKey => PushFrameError::NoKey,
                FrameSealError::Random(_) | FrameSealError::Seal(_) => PushFrameError::EncryptionFailed,
            })?;
        let extensions = Extensions {
            e2ee: Some(E2eeExtension { key_index: with.key_index, iv: with.iv }),
            user_timestamp: incoming.user_timestamp,
        };
        self.enqueue(Incoming { payload: sealing.scratch, ..incoming }, extensions, pool)
    }

    /// Holds a frame until the first key is there. The bounds are those of the queue. The oldest frame is dropped
    /// first.
    pub(super) fn hold(&mut self, incoming: Incoming<'_>) -> Result<(), PushFrameError> {
        self.check_len(&incoming)?;
        let len = incoming.payload.len();
        let options = self.options.queue;
        // The number of frames is bounded, too, since frames may be tiny.
        let full = |held: &HeldFrames| {
            held.bytes.saturating_add(len) > options.max_bytes || held.frames.len() >= HeldFrames::MAX_FRAMES
        };
        if options.when_full == WhenFull::Refuse && !self.held.frames.is_empty() && full(&self.held) {
            return Err(PushFrameError::QueueFull);
        }
        while full(&self.held) {
            let Some(oldest) = self.held.frames.pop_front() else { break };
            self.held.bytes -= oldest.payload.len();
            self.stats.dropped.count(SendDrop::NoKey);
        }
        self.held.bytes += len;
        self.held.frames.push_back(HeldFrame {
            payload: incoming.payload.to_vec(),
            user_timestamp: incoming.user_timestamp,
            timestamp: incoming.timestamp,
            pushed_at: incoming.pushed_at,
        });
        self.stats.pushed += 1;
        self.last_timestamp = incoming.timestamp;
        Ok(())
    }

    pub(super) fn holds_frames(&self) -> bool {
        !self.held.frames.is_empty()
    }

    /// The first key is there: the held frames move to the queue.
    pub(super) fn release_held(&mut self, sealing: &mut Sealing<'_>, pool: &mut BufferPool) {
        for frame in std::mem::take(&mut self.held).frames {
            let incoming = Incoming {
                payload: &frame.payload,
                user_timestamp: frame.user_timestamp,
                timestamp: frame.timestamp,
                pushed_at: frame.pushed_at,
            };
            // The frame was counted as pushed when it was held.
            self.stats.pushed -= 1;
            if let Err(error) = self.push_encrypted(incoming, sealing, pool) {
                self.stats.pushed += 1;
                self.stats.dropped.count(match error {
                    PushFrameError::QueueFull => SendDrop::QueueFull,
                    _ => SendDrop::NoKey,
                });
            }
        }
    }

    /// Drops the held frames: no key will come for them.
    pub(super) fn drop_held(&mut self, reason: SendDrop) {
        self.stats.dropped.add(reason, self.held.frames.len() as u64);
        self.held = HeldFrames::default();
    }

    /// The frames that follow are sealed with a new IV prefix.
    pub(super) fn renew_iv(&mut self) {
        self.sealer = FrameSealer::new();
    }

    fn enqueue(
        &mut self,
        incoming: Incoming<'_>,
        extensions: Extensions,
        pool: &mut BufferPool,
    ) -> Result<(), PushFrameError> {
        let total = wire_len(incoming.payload.len(), extensions.header_len());
        if self.queue.refuses(total) {
            return Err(PushFrameError::QueueFull);
        }
        let mut buffer = pool.get(total);
        let layout = self
            .packetizer
            .packetize(incoming.payload, 0, extensions, incoming.timestamp, &mut buffer)
            .map_err(|FrameTooLarge { size, max }| PushFrameError::FrameTooLarge { size, max })?;
        self.stats.pushed += 1;
        self.last_timestamp = incoming.timestamp;
        let frame = QueuedFrame { buffer, layout, pushed_at: incoming.pushed_at };
        self.queue.push(frame, &mut self.stats, pool);
        Ok(())
    }

    /// Ends the track. Queued frames are dropped; the counters remain.
    pub(super) fn end(mut self, reason: SendDrop) -> SendStats {
        self.queue.clear(reason, &mut self.stats);
        self.drop_held(reason);
        self.stats()
    }
}

/// Bytes of a frame with the headers of its packets.
fn wire_len(payload: usize, header_len: usize) -> usize {
    payload + payload.div_ceil(MTU - header_len).max(1) * header_len
}

impl HeldFrames {
    /// Bounds the number of frames, since frames may be tiny.
    const MAX_FRAMES: usize = 4_096;
}
