use std::collections::VecDeque;

use super::latest::Latest;
use super::{BufferPolicy, SubscribeOptions, TrackId};
use crate::frame::Payload;
use crate::packet::E2eeExtension;
use crate::stats::{StreamDrop, StreamStats};
use crate::time::Instant;

/// A frame for the reader of a stream.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The publisher's frame number, modulo 2¹⁶.
    pub number: u16,
    /// The packets' timestamp, in ticks of 90 kHz from a random base. livekit-client sends a constant one.
    pub timestamp: u32,
    /// The time that the publisher attached; by convention Unix milliseconds.
    pub user_timestamp: Option<u64>,
    /// The key index and IV of a frame that the application has to open. Then the payload is ciphertext.
    pub sealed: Option<E2eeExtension>,
    /// The bytes.
    pub payload: Payload,
    /// When its last packet arrived.
    pub completed_at: Instant,
    /// Whether the publisher had kept the frame, and it did not arrive in packets.
    pub latched: bool,
}

/// A reader's buffer.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) track: TrackId,
    pub(super) options: SubscribeOptions,
    /// Whether the reader waits for frames.
    pub(super) wanted: bool,
    /// Whether the stream is in the list of readable streams.
    pub(super) listed: bool,
    /// Whether the stream was told that frames can arrive.
    pub(super) subscribed: bool,
    /// Whether the stream was told its end.
    pub(super) ended: bool,
    /// `None`: the stream wants live frames only.
    pub(super) latest: Option<Box<Latest>>,
    pub(super) frames: VecDeque<Frame>,
    /// Memory of the frames, in bytes.
    pub(super) bytes: usize,
    pub(super) stats: StreamStats,
}

impl Stream {
    pub(super) fn new(track: TrackId, options: SubscribeOptions) -> Self {
        Self {
            track,
            options,
            wanted: false,
            listed: false,
            subscribed: false,
            ended: false,
            latest: Latest::if_wanted(options.latest),
            frames: VecDeque::new(),
            bytes: 0,
            stats: StreamStats::default(),
        }
    }

    /// Takes a live frame.
    #[inline]
    pub(super) fn push(&mut self, frame: Frame, now: Instant) {
        self.stats.received += 1;
        if self.latest.as_mut().is_some_and(|latest| latest.is_late(&frame, now)) {
            return self.stats.dropped.count(StreamDrop::Superseded);
        }
        self.bytes += frame.payload.kept_bytes();
        self.frames.push_back(frame);
        self.enforce_policy(now);
    }

    /// Takes a latched frame, which comes before or behind the buffered ones.
    pub(super) fn push_latched(&mut self, frame: Frame, first: bool, now: Instant) {
        self.stats.received += 1;
        self.bytes += frame.payload.kept_bytes();
        if first {
            self.frames.push_front(frame);
        } else {
            self.frames.push_back(frame);
        }
        self.enforce_policy(now);
    }

    #[inline]
    fn enforce_policy(&mut self, now: Instant) {
        match self.options.buffer {
            BufferPolicy::Frames(frames) => {
                while self.frames.len() > frames.max(1) {
                    self.drop_oldest();
                }
            }
            BufferPolicy::Bounded { max_frames, max_bytes, .. } => {
                while self.frames.len() > max_frames.max(1)
                    || (self.bytes > max_bytes && self.frames.len() > 1)
                {
                    self.drop_oldest();
                }
                self.expire(now);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let BufferPolicy::Bounded { max_age: Some(max_age), .. } = self.options.buffer else { return };
        while self.frames.len() > BufferPolicy::FRESH_FRAMES + 1
            && self
                .frames
                .front()
                .is_some_and(|frame| now.saturating_duration_since(frame.completed_at) > max_age)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.payload.kept_bytes();
            self.stats.dropped.count(StreamDrop::TooSlow);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        if self.awaits_latest() {
            return None;
        }
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.payload.kept_bytes();
        self.stats.delivered += 1;
        Some(frame)
    }

    /// The length of the oldest frame's payload. Frames that are too old are dropped first.
    pub(super) fn front_len(&mut self, now: Instant) -> Option<usize> {
        self.expire(now);
        if self.awaits_latest() {
            return None;
        }
        self.frames.front().map(|frame| frame.payload.len())
    }

    /// Whether [`pop`](Self::pop) has a frame.
    pub(super) fn is_readable(&self) -> bool {
        !self.frames.is_empty() && !self.awaits_latest()
    }

    /// Counts a delivered frame that could not be decoded.
    pub(super) const fn count_decode_failure(&mut self) {
        if self.stats.delivered > 0 {
            self.stats.delivered -= 1;
            self.stats.dropped.count(StreamDrop::DecodeFailed);
        }
    }

    pub(super) fn stats(&self) -> StreamStats {
        StreamStats { buffered: self.frames.len() as u64, buffered_bytes: self.bytes as u64, ..self.stats }
    }

    /// Drops the buffered frames and returns the last counters.
    pub(super) fn close(mut self) -> StreamStats {
        self.stats.dropped.add(StreamDrop::Closed, self.frames.len() as u64);
        self.frames.clear();
        self.bytes = 0;
        self.stats()
    }
}
