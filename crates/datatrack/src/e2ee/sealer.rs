use super::{FrameKey, IV_LEN, IvRandom, IvRandomError, IvSequence, SealError, SealingKeys};

/// Seals the frames of one track object, each with an IV that its key never sees again.
///
/// It holds the key that its IV prefix was drawn for: whenever [`SealingKeys::current`] is another one, for whatever
/// reason, it draws a new prefix. A track that is published anew gets a new sealer.
#[derive(Debug, Default)]
pub struct FrameSealer {
    ivs: IvSequence,
    /// Held, not only compared: as long as it lives, no other key can have its address.
    key: Option<FrameKey>,
}

/// What a receiver must know besides the sealed payload: the E2EE extension's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedWith {
    /// The key's index, 0 to 15.
    pub key_index: u8,
    /// The IV.
    pub iv: [u8; IV_LEN],
}

/// A frame could not be sealed; it must not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameSealError {
    /// There is no key at the current index, or not yet: [`SealingKeys::is_pending`] tells.
    #[error("there is no key to seal with")]
    NoKey,
    /// No IV could be had.
    #[error(transparent)]
    Random(#[from] IvRandomError),
    /// The payload could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl FrameSealer {
    /// A sealer that has drawn no prefix yet.
    pub const fn new() -> Self {
        Self { ivs: IvSequence::new(), key: None }
    }

    /// Seals the payload where it stands with the current key. The last [`TAG_LEN`](super::TAG_LEN) bytes of `buffer`
    /// are room for the tag. After an error `buffer` is not to be sent.
    pub fn seal_in_place(
        &mut self,
        keys: &SealingKeys,
        random: &mut dyn IvRandom,
        buffer: &mut [u8],
    ) -> Result<SealedWith, FrameSealError> {
        let (key, with) = self.next(keys, random)?;
        key.seal_in_place(&with.iv, buffer)?;
        Ok(with)
    }

    /// Seals `payload` into `sealed`, which must be [`TAG_LEN`](super::TAG_LEN) bytes longer: one pass instead of a
    /// copy and [`seal_in_place`](Self::seal_in_place). After an error `sealed` is not to be sent.
    pub fn seal_into(
        &mut self,
        keys: &SealingKeys,
        random: &mut dyn IvRandom,
        payload: &[u8],
        sealed: &mut [u8],
    ) -> Result<SealedWith, FrameSealError> {
        let (key, with) = self.next(keys, random)?;
        key.seal_into(&with.iv, payload, sealed)?;
        Ok(with)
    }

    /// The current key and an IV that it never saw.
    fn next<'k>(
        &mut self,
        keys: &'k SealingKeys,
        random: &mut dyn IvRandom,
    ) -> Result<(&'k FrameKey, SealedWith), FrameSealError> {
        let (key_index, key, _) = keys.current().ok_or(FrameSealError::NoKey)?;
        if !self.key.as_ref().is_some_and(|last| last.is_clone_of(key)) {
            self.ivs.renew();
            self.key = Some(key.clone());
        }
        let iv = self.ivs.next(random)?;
        Ok((key, SealedWith { key_index, iv }))
    }

    /// Leaves the IV prefix behind, as for a track that is republished.
    pub const fn renew(&mut self) {
        self.ivs.renew();
    }

    #[cfg(test)]
    pub(super) const fn ivs(&mut self) -> &mut IvSequence {
        &mut self.ivs
    }
}
