//! Packets to receive.

use bytes::Bytes;

/// The packets of one frame, repeated under new numbers.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    packets: Vec<Vec<u8>>,
    sequence: u16,
    frame_number: u16,
}

impl Feed {
    pub(crate) fn new(packets: Vec<Vec<u8>>) -> Self {
        Self { packets, sequence: 0, frame_number: 0 }
    }

    /// The packets of the next frame, each in its own buffer, as from a socket.
    pub(crate) fn next(&mut self) -> Vec<Bytes> {
        let number = self.frame_number.to_be_bytes();
        self.frame_number = self.frame_number.wrapping_add(1);
        let sequence = &mut self.sequence;
        self.packets
            .iter()
            .map(|packet| {
                let mut packet = packet.clone();
                packet[4..6].copy_from_slice(&sequence.to_be_bytes());
                packet[6..8].copy_from_slice(&number);
                *sequence = sequence.wrapping_add(1);
                packet.into()
            })
            .collect()
    }

    /// The same packets under another handle.
    pub(crate) fn under(&self, handle: u16) -> Self {
        let mut feed = self.clone();
        for packet in &mut feed.packets {
            packet[2..4].copy_from_slice(&handle.to_be_bytes());
        }
        feed
    }
}

/// How many frames are prepared at a time: as many as fit into the first-level cache together.
pub(crate) fn batch(size: usize) -> u32 {
    u32::try_from((64 << 10) / size).map_or(1, |frames| frames.clamp(1, 128))
}
