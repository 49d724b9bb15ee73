//! Messages of the reliable side and frames of audio tracks, sealed with the local participant's keys, in a session
//! that seals frames itself.

use super::{Encryption, Publisher};
use crate::e2ee::{FrameSealError, FrameSealer, SealedWith, TAG_LEN};

/// The result of sealing a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedMessage {
    /// The ciphertext with its tag, and the key index and IV that the receiver needs.
    Sealed(SealedWith, Vec<u8>),
    /// The key is being derived. The caller tries again when a derivation has finished.
    Wait,
    /// There is no key at the current index, and none is being derived. This is also the result without built-in
    /// encryption.
    NoKey,
    /// No initialization vector was available, or the message is too large for the cipher.
    Failed,
}

impl Publisher {
    /// Seals a message with the current key. Messages have their own sealer, so that they never share an initialization
    /// vector with a track.
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

    /// Seals a frame of an audio track with the current key, into `sealed`, which must be [`TAG_LEN`] bytes longer than
    /// `payload`. The tag also covers `head`. Each track has a `sealer` of its own. After an error nothing must be sent.
    pub fn seal_media(
        &mut self,
        sealer: &mut FrameSealer,
        head: &[u8],
        payload: &[u8],
        sealed: &mut [u8],
    ) -> Result<SealedWith, FrameSealError> {
        let Encryption::Native(keys) = &self.encryption else { return Err(FrameSealError::NoKey) };
        sealer.seal_with_head_into(keys, self.config.iv_random.as_mut(), head, payload, sealed)
    }
}
