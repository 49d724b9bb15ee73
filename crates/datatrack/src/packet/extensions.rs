//! The extension block.
//!
//! ```text
//!  byte 12              14
//! ┌────────────────────┬───────┬────────┬───────┬─────┬─────────────────┐
//! │ L: u16             │ tag   │ length │ value │  …  │ zero padding    │
//! └────────────────────┴───────┴────────┴───────┴─────┴─────────────────┘
//!  ╰───────────────── (L + 1) · 4 bytes ───────────────────────────────╯
//! ```
//!
//! | tag | length | value |
//! | --- | --- | --- |
//! | 1 | 13 | E2EE: key index u8, IV of 12 bytes |
//! | 2 | 8 | user timestamp u64 |
//!
//! Reading is lenient, as in the other clients:
//!
//! - Unknown tags are skipped.
//! - Of a known tag with a longer value, the value's prefix counts. With a shorter value, the tag is skipped.
//! - Of a repeated tag, the last one counts.
//! - Tag 0 skips itself and the byte after it.
//! - A single byte at the end is ignored.
//!
//! Writing is strict, because the SFU is: tag 1, then tag 2, then padding.
//!
//! # The old length
//!
//! Clients from before April 2026 did not count L's own two bytes: their block *after* L had (L + 1) · 4 bytes.
//!
//! - With E2EE alone they wrote L = 3. By today's rule that ends one byte before the IV's end. The old length is
//!   meant if a value runs past the block by one or two bytes, the packet has those bytes, and only zero padding is
//!   left then. No packet that is well formed today looks like that.
//! - With a timestamp (alone, or after E2EE) they wrote the same L as today, and two more zero bytes before the
//!   payload. That looks the same as a payload that begins with two zeros, so today's rule applies.

use std::fmt;

use super::{BASE_HEADER_LEN, PacketError};

const E2EE: u8 = 1;
const E2EE_LEN: usize = 13;
const USER_TIMESTAMP: u8 = 2;
const USER_TIMESTAMP_LEN: usize = 8;
const PADDING: u8 = 0;

/// Offset of the first extension's tag: after the base header and L.
const BLOCK_START: usize = BASE_HEADER_LEN + 2;

const BOTH_LEN: usize = 28;

/// The key index and IV that open the packet's frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct E2eeExtension {
    /// The index of the publisher's key that sealed the frame. All clients use 0 to 15.
    pub key_index: u8,
    /// The AES-GCM nonce. It must never be used twice with one key.
    pub iv: [u8; 12],
}

impl fmt::Debug for E2eeExtension {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("E2eeExtension").field("key_index", &self.key_index).finish_non_exhaustive()
    }
}

/// The extensions of a packet. All packets of a frame carry the same ones. A receiver uses those of the start packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// Set on frames that are sealed.
    pub e2ee: Option<E2eeExtension>,
    /// A time that the application chose; by convention Unix milliseconds. Zero is a valid time.
    pub user_timestamp: Option<u64>,
}

impl Extensions {
    /// Length of a header with these extensions, in bytes: 12 without, 24 with a timestamp, 32 with E2EE, 40 with both.
    #[inline]
    pub const fn header_len(&self) -> usize {
        match (self.e2ee.is_some(), self.user_timestamp.is_some()) {
            (false, false) => BASE_HEADER_LEN,
            (false, true) => 24,
            (true, false) => 32,
            (true, true) => BASE_HEADER_LEN + BOTH_LEN,
        }
    }

    /// Reads the bytes after the base header of a packet that announces extensions.
    ///
    /// Returns the extensions and the offset of the payload.
    #[inline]
    pub(super) fn parse(after_base: &[u8]) -> Result<(Self, usize), PacketError> {
        let Some((length, rest)) = after_base.split_first_chunk::<2>() else {
            return Err(PacketError::MissingExtensionLength);
        };
        let block_len = (usize::from(u16::from_be_bytes(*length)) + 1) * 4 - 2;
        let Some(block) = rest.get(..block_len) else {
            return Err(PacketError::HeaderOverrun {
                needed: BLOCK_START + block_len,
                available: BASE_HEADER_LEN + after_base.len(),
            });
        };
        match Self::parse_block(block) {
            Ok((extensions, _)) => Ok((extensions, BLOCK_START + block_len)),
            Err(error) => Self::parse_old_block(rest, block_len).ok_or(error),
        }
    }

    /// Reads the block as clients from before April 2026 wrote it; see the module's text.
    #[cold]
    fn parse_old_block(rest: &[u8], block_len: usize) -> Option<(Self, usize)> {
        let block = rest.get(..block_len + 2)?;
        let (extensions, end) = Self::parse_block(block).ok()?;
        // The value that is too long by today's rule must be the last one. Otherwise the block is not an old one but
        // malformed.
        let padding = block.get(end..)?;
        (padding.len() < 2 && padding.iter().all(|&byte| byte == PADDING))
            .then_some((extensions, BLOCK_START + block_len + 2))
    }

    /// Reads tags, lengths and values. Returns the extensions and the end of the last one.
    #[inline]
    fn parse_block(block: &[u8]) -> Result<(Self, usize), PacketError> {
        let mut extensions = Self::default();
        let mut rest = block;
        while let Some((&[tag, len], after)) = rest.split_first_chunk::<2>() {
            if tag == PADDING {
                rest = after;
                continue;
            }
            let Some((value, after)) = after.split_at_checked(usize::from(len)) else {
                return Err(PacketError::MalformedExtension {
                    tag,
                    at: BLOCK_START + block.len() - rest.len(),
                });
            };
            match tag {
                E2EE => {
                    if let Some((&key_index, iv)) = value.split_first()
                        && let Some(&iv) = iv.first_chunk()
                    {
                        extensions.e2ee = Some(E2eeExtension { key_index, iv });
                    }
                }
                USER_TIMESTAMP => {
                    if let Some(&value) = value.first_chunk() {
                        extensions.user_timestamp = Some(u64::from_be_bytes(value));
                    }
                }
                _ => {}
            }
            rest = after;
        }
        Ok((extensions, block.len() - rest.len()))
    }

    /// The block with L and padding, in the first `header_len() - 12` bytes.
    #[inline]
    pub(super) fn to_block(self) -> [u8; BOTH_LEN] {
        let mut block = [0; BOTH_LEN];
        let mut timestamp_at = 2;
        if let Some(e2ee) = self.e2ee {
            block[1] = 4;
            block[2] = E2EE;
            block[3] = E2EE_LEN as u8;
            block[4] = e2ee.key_index;
            block[5..17].copy_from_slice(&e2ee.iv);
            timestamp_at = 17;
        }
        if let Some(timestamp) = self.user_timestamp {
            block[1] += 2;
            let target = &mut block[timestamp_at..];
            target[0] = USER_TIMESTAMP;
            target[1] = USER_TIMESTAMP_LEN as u8;
            target[2..10].copy_from_slice(&timestamp.to_be_bytes());
        }
        block
    }
}
