use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::frame::PIECE_OVERHEAD;
use crate::packet::Handle;
use crate::time::Instant;

/// Packets whose handle the SFU has not named yet: it starts to forward before it sends the table.
///
/// They are bounded in bytes and age. The oldest are dropped first.
#[derive(Debug)]
pub(super) struct EarlyPackets {
    max_bytes: usize,
    max_age: Duration,
    packets: VecDeque<EarlyPacket>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct EarlyPacket {
    handle: Handle,
    pub(super) packet: Bytes,
    arrived_at: Instant,
}

impl EarlyPackets {
    pub(super) const fn new(max_bytes: usize, max_age: Duration) -> Self {
        Self { max_bytes, max_age, packets: VecDeque::new(), bytes: 0 }
    }

    /// Holds a packet. Returns how many packets were dropped for it. The packet itself counts if it is too large.
    #[must_use]
    pub(super) fn push(&mut self, handle: Handle, packet: Bytes, now: Instant) -> u64 {
        let cost = packet.len() + PIECE_OVERHEAD;
        if cost > self.max_bytes {
            return 1;
        }
        let mut dropped = 0;
        while self.bytes + cost > self.max_bytes && self.pop_oldest() {
            dropped += 1;
        }
        self.bytes += cost;
        self.packets.push_back(EarlyPacket { handle, packet, arrived_at: now });
        dropped
    }

    fn pop_oldest(&mut self) -> bool {
        self.packets.pop_front().is_some_and(|oldest| {
            self.bytes -= oldest.packet.len() + PIECE_OVERHEAD;
            true
        })
    }

    /// Takes out the packets whose handle is known now, in the order of their arrival.
    pub(super) fn take_known(&mut self, known: impl Fn(Handle) -> bool) -> Vec<EarlyPacket> {
        let (taken, kept) = std::mem::take(&mut self.packets)
            .into_iter()
            .partition::<VecDeque<_>, _>(|early| known(early.handle));
        self.packets = kept;
        for early in &taken {
            self.bytes -= early.packet.len() + PIECE_OVERHEAD;
        }
        taken.into()
    }

    /// Drops packets that are too old, and returns how many.
    #[must_use]
    pub(super) fn expire(&mut self, now: Instant) -> u64 {
        let mut dropped = 0;
        while self.poll_timeout().is_some_and(|deadline| deadline <= now) && self.pop_oldest() {
            dropped += 1;
        }
        dropped
    }

    /// Drops all packets, and returns how many.
    #[must_use]
    pub(super) fn clear(&mut self) -> u64 {
        let dropped = self.packets.len() as u64;
        self.packets.clear();
        self.bytes = 0;
        dropped
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.packets.front().map(|oldest| oldest.arrived_at + self.max_age)
    }

    /// The handle of each packet.
    pub(super) fn handles(&self) -> impl Iterator<Item = Handle> {
        self.packets.iter().map(|early| early.handle)
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }
}
