use std::collections::VecDeque;
use std::time::Duration;

use super::{QueueOptions, WhenFull};
use crate::packetizer::FrameLayout;
use crate::stats::{SendDrop, SendStats};
use crate::time::Instant;

/// A track's packetized frames, oldest first, bounded in bytes and age.
///
/// A frame whose first packet was sent is never dropped for a newer one. Otherwise the packets already sent would be
/// useless to the receiver.
#[derive(Debug)]
pub(super) struct FrameQueue {
    options: QueueOptions,
    frames: VecDeque<QueuedFrame>,
    bytes: usize,
    /// The index of the oldest frame's next packet.
    next_packet: u16,
}

#[derive(Debug)]
pub(super) struct QueuedFrame {
    pub(super) buffer: Vec<u8>,
    pub(super) layout: FrameLayout,
    pub(super) pushed_at: Instant,
}

impl FrameQueue {
    pub(super) const fn new(options: QueueOptions) -> Self {
        Self { options, frames: VecDeque::new(), bytes: 0, next_packet: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a frame of `len` bytes would be refused.
    pub(super) fn refuses(&self, len: usize) -> bool {
        self.options.when_full == WhenFull::Refuse
            && !self.frames.is_empty()
            && self.bytes.saturating_add(len) > self.options.max_bytes
    }

    /// Appends a frame. Older frames are dropped to make room.
    pub(super) fn push(&mut self, frame: QueuedFrame, stats: &mut SendStats, spent: &mut BufferPool) {
        let len = frame.buffer.len();
        while self.bytes.saturating_add(len) > self.options.max_bytes {
            let Some(dropped) = self.remove_oldest_unsent() else { break };
            stats.dropped.count(SendDrop::QueueFull);
            spent.put(dropped.buffer);
        }
        self.bytes += len;
        self.frames.push_back(frame);
    }

    /// Drops frames that are too old, unless no newer frame is behind them.
    pub(super) fn expire(&mut self, now: Instant, stats: &mut SendStats, spent: &mut BufferPool) {
        let Some(max_age) = self.options.max_age else { return };
        while self.next_packet == 0 && self.frames.len() > 1 {
            let too_old = self
                .frames
                .front()
                .is_some_and(|frame| now.saturating_duration_since(frame.pushed_at) > max_age);
            if !too_old {
                break;
            }
            if let Some(frame) = self.remove_oldest_unsent() {
                stats.dropped.count(SendDrop::TimedOut);
                spent.put(frame.buffer);
            }
        }
    }

    fn remove_oldest_unsent(&mut self) -> Option<QueuedFrame> {
        let index = usize::from(self.next_packet > 0);
        let frame = self.frames.remove(index)?;
        self.bytes -= frame.buffer.len();
        Some(frame)
    }

    /// The next packet.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        let frame = self.frames.front()?;
        frame.buffer.get(frame.layout.range(self.next_packet)?)
    }

    /// When the next packet's frame is too old to be sent, or to be sent again.
    pub(super) fn fresh_until(&self) -> Instant {
        let pushed_at = self.frames.front().map_or(Instant::ZERO, |frame| frame.pushed_at);
        pushed_at + self.options.max_age.unwrap_or(Duration::MAX)
    }

    /// The next packet was sent.
    pub(super) fn advance(&mut self, stats: &mut SendStats, spent: &mut BufferPool) {
        let Some(len) = self.peek().map(<[u8]>::len) else { return };
        stats.packets_sent += 1;
        stats.bytes_sent += len as u64;
        self.next_packet += 1;
        if self.frames.front().is_some_and(|frame| self.next_packet < frame.layout.packets) {
            return;
        }
        self.next_packet = 0;
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.buffer.len();
            stats.sent += 1;
            spent.put(frame.buffer);
        }
    }

    /// Takes the oldest frame whole, if no part of it was sent and it has at least `min_len` bytes.
    pub(super) fn take(&mut self, min_len: usize, stats: &mut SendStats) -> Option<QueuedFrame> {
        let large = self.frames.front().is_some_and(|frame| frame.buffer.len() >= min_len);
        if self.next_packet > 0 || !large {
            return None;
        }
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.buffer.len();
        stats.sent += 1;
        stats.packets_sent += u64::from(frame.layout.packets);
        stats.bytes_sent += frame.buffer.len() as u64;
        Some(frame)
    }

    /// Restarts the oldest frame: its first packets were sent in a server session that no longer exists.
    pub(super) const fn rewind(&mut self) {
        self.next_packet = 0;
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, reason: SendDrop, stats: &mut SendStats) {
        stats.dropped.add(reason, self.frames.len() as u64);
        self.frames.clear();
        self.bytes = 0;
        self.next_packet = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }
}

/// Buffers of sent frames, kept for the next frame.
///
/// A few large buffers are kept, because fresh pages cost more than the copy into them. Of small buffers only the last
/// one is kept: a pool of them would hold 16,000 bytes for frames of 256, and the allocator is nearly as fast.
#[derive(Debug, Default)]
pub(super) struct BufferPool {
    large: Vec<Vec<u8>>,
    last: Vec<u8>,
}

impl BufferPool {
    const SMALLEST: usize = 32 * 1024;
    const MAX_BUFFERS: usize = 4;
    const MAX_CAPACITY: usize = 4 << 20;

    /// An empty buffer with room for `len` bytes.
    #[inline]
    pub(super) fn get(&mut self, len: usize) -> Vec<u8> {
        // The buffer must not be much larger than its frame: the queue counts the bytes of frames, not of their
        // buffers.
        if (len..=len.saturating_mul(2)).contains(&self.last.capacity()) {
            return std::mem::take(&mut self.last);
        }
        if len >= Self::SMALLEST
            && let Some(index) = self.large.iter().position(|buffer| buffer.capacity() >= len)
        {
            return self.large.swap_remove(index);
        }
        Vec::with_capacity(len)
    }

    #[inline]
    pub(super) fn put(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() < Self::SMALLEST {
            self.last = buffer;
        } else if buffer.capacity() <= Self::MAX_CAPACITY && self.large.len() < Self::MAX_BUFFERS {
            self.large.push(buffer);
        }
    }
}
