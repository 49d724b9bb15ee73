//! Messages of the reliable side that our keys seal, in a session that seals frames itself.

use super::{Encryption, Publisher};
use crate::e2ee::{SealedWith, TAG_LEN};

/// What became of a message that was to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedMessage {
    /// The ciphertext with its tag, and what its receiver must know.
    Sealed(SealedWith, Vec<u8>),
    /// The key is being derived: try again when a derivation is done.
    Wait,
    /// There is no key at the current index, and none is being derived. So it is without built-in encryption, too.
    NoKey,
    /// No initialization vector could be had, or the message is too large for the cipher.
    Failed,
}

impl Publisher {
    /// Seals a message with the current key. Messages have a sealer of their own, so that their initialization vectors
    /// are never those of a track.
    pub fn seal_message(&mut self, message: &[u8]) -> SealedMessage {
        let Encryption::Native(keys) = &self.encryption else { return SealedMessage::NoKey };
        if keys.current().is_none() {
            return if keys.is_pending() { SealedMessage::Wait } else { SealedMessage::NoKey };
        }
        let mut sealed = vec![0; message.len() + TAG_LEN];
        let random = self.config.iv_random.as_mut();
        match self.message_sealer.seal_into(keys, random, message, &mut sealed) {
            Ok(with) => SealedMessage::Sealed(with, sealed),
            Err(_) => SealedMessage::Failed,
        }
    }
}
