//! What is in the chunks that carry and acknowledge data.

use bytes::Bytes;

use super::{padded, u16_at, u32_at};

/// A DATA chunk without its flags.
pub(crate) struct Data {
    pub(crate) tsn: u32,
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) ppid: u32,
    pub(crate) payload: Bytes,
}

impl Data {
    /// `None`: too short, or without user data, which RFC 9260 forbids (section 6.2).
    pub(crate) fn parse(value: &Bytes) -> Option<Self> {
        let data = Self {
            tsn: u32_at(value, 0)?,
            stream: u16_at(value, 4)?,
            ssn: u16_at(value, 6)?,
            ppid: u32_at(value, 8)?,
            payload: value.slice(12..),
        };
        (!data.payload.is_empty()).then_some(data)
    }
}

/// A SACK chunk.
pub(crate) struct Sack {
    /// All up to this one have arrived.
    pub(crate) cumulative: u32,
    /// Bytes that the peer still takes.
    pub(crate) window: u32,
    blocks: Bytes,
}

impl Sack {
    pub(crate) fn parse(value: &Bytes) -> Option<Self> {
        let count = usize::from(u16_at(value, 8)?);
        let blocks = 12..12 + count * 4;
        (blocks.end <= value.len()).then_some(())?;
        Some(Self { cumulative: u32_at(value, 0)?, window: u32_at(value, 4)?, blocks: value.slice(blocks) })
    }

    /// What has arrived beyond the cumulative number: first and last of each run.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u32, u32)> {
        self.blocks.chunks_exact(4).filter_map(|block| {
            let first = self.cumulative.wrapping_add(u32::from(u16_at(block, 0)?));
            let last = self.cumulative.wrapping_add(u32::from(u16_at(block, 2)?));
            Some((first, last))
        })
    }

    pub(crate) fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }
}

/// A FORWARD-TSN chunk (RFC 3758): what is not coming any more.
pub(crate) struct ForwardTsn {
    pub(crate) cumulative: u32,
    skipped: Bytes,
}

impl ForwardTsn {
    pub(crate) fn parse(value: &Bytes) -> Option<Self> {
        Some(Self { cumulative: u32_at(value, 0)?, skipped: value.slice(4..) })
    }

    /// The last number that is skipped, of each ordered stream.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = (u16, u16)> {
        self.skipped.chunks_exact(4).filter_map(|pair| Some((u16_at(pair, 0)?, u16_at(pair, 2)?)))
    }
}

/// The parameters of a chunk, from `at` on: type and value of each, up to the first one that does not fit.
pub(crate) fn parameters(value: &Bytes, mut at: usize) -> impl Iterator<Item = (u16, Bytes)> {
    let value = value.clone();
    std::iter::from_fn(move || {
        let kind = u16_at(&value, at)?;
        let length = usize::from(u16_at(&value, at + 2)?);
        if length < 4 || at + length > value.len() {
            return None;
        }
        let content = value.slice(at + 4..at + length);
        at += padded(length);
        Some((kind, content))
    })
}
