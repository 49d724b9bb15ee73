use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::Bytes;

use super::{DerivationError, IV_LEN, TAG_LEN};
use crate::Payload;

/// An AES-128-GCM key. Cheap to clone; nothing prints it.
///
/// Whoever seals with it owes it an IV that it never saw before: [`FrameSealer`](super::FrameSealer) does that.
#[derive(Clone)]
pub struct FrameKey(Arc<LessSafeKey>);

/// A payload could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The buffer has not the room that the payload and its tag need.
    #[error("a sealed payload needs room for {TAG_LEN} bytes more")]
    NoRoom,
    /// AES-GCM refused: the payload is beyond the 64 GiB that one IV can serve.
    #[error("sealing failed")]
    Failed,
}

/// A frame could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is shorter than a tag, so no key opens it.
    #[error("a sealed frame has at least the {TAG_LEN} bytes of its tag")]
    TooShort,
    /// The room for the plaintext has not the length of the ciphertext without its tag.
    #[error("the room for the plaintext has the wrong length")]
    WrongRoom,
    /// Another key or IV sealed it, or it was changed on its way.
    #[error("the frame does not open with this key")]
    Failed,
}

impl FrameKey {
    /// Bytes of a key.
    pub(super) const LEN: usize = 16;

    pub(super) fn new(bytes: &[u8; Self::LEN]) -> Result<Self, DerivationError> {
        let key = UnboundKey::new(&AES_128_GCM, bytes).map_err(|_| DerivationError)?;
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }

    /// Seals the payload where it stands. The last [`TAG_LEN`] bytes of `buffer` are room for the tag; what stands
    /// before them is the payload, which may be empty.
    pub fn seal_in_place(&self, iv: &[u8; IV_LEN], buffer: &mut [u8]) -> Result<(), SealError> {
        let (payload, room) = buffer.split_last_chunk_mut::<TAG_LEN>().ok_or(SealError::NoRoom)?;
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*iv), Aad::empty(), payload)
            .map_err(|_| SealError::Failed)?;
        // The primitive's tags have this length; `copy_from_slice` would panic if they had not.
        *room = tag.as_ref().try_into().map_err(|_| SealError::Failed)?;
        Ok(())
    }

    /// Seals `payload` into `sealed`, which must be [`TAG_LEN`] bytes longer: one pass instead of a copy and
    /// [`seal_in_place`](Self::seal_in_place).
    pub fn seal_into(&self, iv: &[u8; IV_LEN], payload: &[u8], sealed: &mut [u8]) -> Result<(), SealError> {
        let (ciphertext, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(SealError::NoRoom)?;
        if ciphertext.len() != payload.len() {
            return Err(SealError::NoRoom);
        }
        self.0
            .seal_out_of_place_scatter(
                Nonce::assume_unique_for_key(*iv),
                Aad::empty(),
                payload,
                ciphertext,
                &[],
                tag,
            )
            .map_err(|_| SealError::Failed)
    }

    /// Opens `ciphertext ‖ tag` into a buffer of its own; `sealed` stays as it is, so another key can be tried.
    pub fn open(&self, iv: &[u8; IV_LEN], sealed: &[u8]) -> Result<Bytes, OpenError> {
        let len = sealed.len().checked_sub(TAG_LEN).ok_or(OpenError::TooShort)?;
        let mut plaintext = vec![0; len];
        self.open_into(iv, sealed, &mut plaintext)?;
        Ok(plaintext.into())
    }

    /// Opens `ciphertext ‖ tag` into `plaintext`, which must be [`TAG_LEN`] bytes shorter. When it fails, what
    /// `plaintext` holds is of no use.
    pub fn open_into(&self, iv: &[u8; IV_LEN], sealed: &[u8], plaintext: &mut [u8]) -> Result<(), OpenError> {
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(OpenError::TooShort)?;
        if plaintext.len() != ciphertext.len() {
            return Err(OpenError::WrongRoom);
        }
        self.0
            .open_separate_gather(Nonce::assume_unique_for_key(*iv), Aad::empty(), ciphertext, tag, plaintext)
            .map_err(|_| OpenError::Failed)
    }

    /// Opens a frame as the depacketizer hands it out, in one pass from one piece; several pieces are copied together
    /// first, and opened where they then stand. `sealed` stays as it is.
    pub fn open_payload(&self, iv: &[u8; IV_LEN], sealed: &Payload) -> Result<Bytes, OpenError> {
        if let [piece] = sealed.pieces() {
            return self.open(iv, piece);
        }
        let mut buffer = Vec::with_capacity(sealed.len());
        for piece in sealed.pieces() {
            buffer.extend_from_slice(piece);
        }
        let len = buffer.len().checked_sub(TAG_LEN).ok_or(OpenError::TooShort)?;
        self.0
            .open_in_place(Nonce::assume_unique_for_key(*iv), Aad::empty(), &mut buffer)
            .map_err(|_| OpenError::Failed)?;
        buffer.truncate(len);
        Ok(buffer.into())
    }

    /// Whether both are clones of one key. Two keys derived from the same material are not.
    pub(super) fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for FrameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameKey(..)")
    }
}
