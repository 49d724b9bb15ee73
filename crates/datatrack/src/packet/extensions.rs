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
//! Reading is lenient as the other clients' is: unknown tags are skipped, a known tag with a longer value gives its
//! prefix, with a shorter one it is skipped, the last of a repeated tag counts, tag 0 skips itself and the byte after
//! it, and a single byte at the end is ignored. Writing is strict, because the SFU is: 1, then 2, then padding.
//!
//! # The old length
//!
//! Clients from before April 2026 did not count L's own two bytes: their block *after* L had (L + 1) · 4 bytes.
//! - With E2EE alone they wrote L = 3, which by today's rule ends one byte short of the IV's end. So: where a value
//!   runs past the block by one or two bytes, the packet has those, and only zero padding is left then, the old
//!   length is meant. Nothing that is well formed today can be taken for that.
//! - With a timestamp (alone, or after E2EE) they wrote the same L as today and two zero bytes more before the
//!   payload. That cannot be told from a payload that begins with two zeros, so today's rule holds.

use std::fmt;

use super::{BASE_HEADER_LEN, PacketError};

const E2EE: u8 = 1;
const E2EE_LEN: usize = 13;
const USER_TIMESTAMP: u8 = 2;
const USER_TIMESTAMP_LEN: usize = 8;
const PADDING: u8 = 0;

/// Where the first extension's tag stands: after the base header and L.
const BLOCK_START: usize = BASE_HEADER_LEN + 2;

const BOTH_LEN: usize = 28;

/// What opens the frame that the packet belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct E2eeExtension {
    /// Which of the publisher's keys sealed the frame. Everyone uses 0 to 15.
    pub key_index: u8,
    /// The AES-GCM nonce, never to be used twice with one key.
    pub iv: [u8; 12],
}

impl fmt::Debug for E2eeExtension {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("E2eeExtension").field("key_index", &self.key_index).finish_non_exhaustive()
    }
}

/// The extensions of a packet. They are the same on every packet of a frame; a receiver takes the start packet's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// Set on frames that are sealed.
    pub e2ee: Option<E2eeExtension>,
    /// A time that the application chose; Unix milliseconds by convention. Zero is a time like any other.
    pub user_timestamp: Option<u64>,
}

impl Extensions {
    /// Length in bytes of a header with these extensions: 12 without, 24 with a timestamp, 32 with E2EE, 40 with both.
    #[inline]
    pub const fn header_len(&self) -> usize {
        match (self.e2ee.is_some(), self.user_timestamp.is_some()) {
            (false, false) => BASE_HEADER_LEN,
            (false, true) => 24,
            (true, false) => 32,
            (true, true) => BASE_HEADER_LEN + BOTH_LEN,
        }
    }

    /// Reads what follows the base header of a packet that says it has extensions.
    ///
    /// Returns them and where the payload starts.
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

    /// Reads as the clients from before April 2026 wrote; see the module's text.
    #[cold]
    fn parse_old_block(rest: &[u8], block_len: usize) -> Option<(Self, usize)> {
        let block = rest.get(..block_len + 2)?;
        let (extensions, end) = Self::parse_block(block).ok()?;
        // The value that was too long by today's rule must be the last one, or this is no old block but a broken one.
        let padding = block.get(end..)?;
        (padding.len() < 2 && padding.iter().all(|&byte| byte == PADDING))
            .then_some((extensions, BLOCK_START + block_len + 2))
    }

    /// Reads tags, lengths and values, and returns where the last one ends.
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
