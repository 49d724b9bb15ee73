use std::time::Duration;

use crate::packet::{BASE_HEADER_LEN, MTU};
use crate::packetizer::{DEFAULT_MAX_PACKETS_PER_FRAME, MAX_PACKETS_PER_FRAME};
use crate::stats::{FrameDrops, PacketDrops};

/// The most partial frames that may be open at a time.
pub const MAX_PARTIAL_FRAMES: usize = 64;

/// Options of a [`Depacketizer`](super::Depacketizer). Values outside of their ranges are clamped.
///
/// A remote peer can make a depacketizer hold `max_partial_frames` times `max_packets_per_frame` packets, with
/// `max_frame_len` bytes of payload for each frame. [`held_bytes`](super::Depacketizer::held_bytes) counts the memory
/// of these packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepacketizerOptions {
    /// How many frames may be incomplete at a time: 1 to 64, 2 by default. With 2, a packet that is late by one frame
    /// causes no loss. With 1, frames are also delivered in order: a frame older than the newest delivered one is
    /// dropped.
    pub max_partial_frames: usize,
    /// How long a frame may stay incomplete without another packet of it: 500 ms by default. A frame that still grows
    /// is kept, because a large frame on a slow path may take longer than any sensible timeout.
    pub partial_frame_timeout: Duration,
    /// How many packets a frame may have: 1 to 32,767, 128 by default. LiveKit's clients send 128 at most.
    pub max_packets_per_frame: u16,
    /// How many bytes a frame may have, the authentication tag included: 2,046,464 by default, as many as 128 packets
    /// hold.
    pub max_frame_len: usize,
}

impl Default for DepacketizerOptions {
    fn default() -> Self {
        Self {
            max_partial_frames: 2,
            partial_frame_timeout: Duration::from_millis(500),
            max_packets_per_frame: DEFAULT_MAX_PACKETS_PER_FRAME,
            max_frame_len: DEFAULT_MAX_PACKETS_PER_FRAME as usize * (MTU - BASE_HEADER_LEN),
        }
    }
}

impl DepacketizerOptions {
    pub(super) fn in_range(mut self) -> Self {
        self.max_partial_frames = self.max_partial_frames.clamp(1, MAX_PARTIAL_FRAMES);
        self.max_packets_per_frame = self.max_packets_per_frame.clamp(1, MAX_PACKETS_PER_FRAME);
        self
    }
}

/// Counters of a [`Depacketizer`](super::Depacketizer). At any time `packets_received = packets_accepted + Σ
/// packets_dropped` and `opened = completed + Σ dropped + open`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DepacketizerStats {
    /// Packets that were handed in.
    pub packets_received: u64,
    /// Packets that became part of a frame.
    pub packets_accepted: u64,
    /// Packets that were dropped.
    pub packets_dropped: PacketDrops,
    /// Frames of which at least one packet was accepted.
    pub opened: u64,
    /// Frames that were completed.
    pub completed: u64,
    /// Frames that were dropped.
    pub dropped: FrameDrops,
    /// Frames that miss packets.
    pub open: u64,
}

impl DepacketizerStats {
    /// Whether both sums add up. They always do, unless the depacketizer has a bug.
    pub const fn closes(&self) -> bool {
        self.packets_received == self.packets_accepted + self.packets_dropped.total()
            && self.opened == self.completed + self.dropped.total() + self.open
    }
}
