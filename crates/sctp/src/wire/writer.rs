//! Writes a packet: chunks one after the other, each padded to four bytes.

use bytes::Bytes;

use super::{HEADER, checksum, padded};

pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(source_port: u16, destination_port: u16, tag: u32, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(&source_port.to_be_bytes());
        bytes.extend_from_slice(&destination_port.to_be_bytes());
        bytes.extend_from_slice(&tag.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        Self { bytes }
    }

    /// Whether it has no chunk yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a chunk; `fill` writes what follows its header.
    pub(crate) fn chunk(&mut self, kind: u8, flags: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[kind, flags, 0, 0]);
        fill(&mut self.bytes);
        let length = self.bytes.len() - start;
        // Our own chunks are far below 64 KiB.
        let written = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        if let Some(field) = self.bytes.get_mut(start + 2..start + 4) {
            field.copy_from_slice(&written);
        }
        self.bytes.resize(start + padded(length), 0);
    }

    /// The packet, with its checksum unless the peer does without (RFC 9653).
    pub(crate) fn finish(mut self, checked: bool) -> Bytes {
        if checked {
            let sum = checksum(&self.bytes).to_le_bytes();
            if let Some(field) = self.bytes.get_mut(8..HEADER) {
                field.copy_from_slice(&sum);
            }
        }
        Bytes::from(self.bytes)
    }
}
