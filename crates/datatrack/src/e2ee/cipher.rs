use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::Bytes;

use super::{DerivationError, IV_LEN, TAG_LEN};
use crate::Payload;

/// An AES-128-GCM key. Cheap to clone. It is never printed.
///
/// The caller that seals must pass an IV that this key has never seen: [`FrameSealer`](super::FrameSealer) does that.
#[derive(Clone)]
pub struct FrameKey(Arc<LessSafeKey>);

/// Why a payload could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The buffer is too small for the payload and its tag.
    #[error("a sealed payload needs room for {TAG_LEN} bytes more")]
    NoRoom,
    /// AES-GCM refused: the payload is beyond the 64 GiB that one IV can serve.
    #[error("sealing failed")]
    Failed,
}

/// Why a frame could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is shorter than a tag, so no key opens it.
    #[error("a sealed frame has at least the {TAG_LEN} bytes of its tag")]
    TooShort,
    /// The plaintext's buffer does not have the length of the ciphertext without its tag.
    #[error("the room for the plaintext has the wrong length")]
    WrongRoom,
    /// Another key or IV sealed it, or it was changed in transit.
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

    /// Seals the payload in place. The last [`TAG_LEN`] bytes of `buffer` are room for the tag. The bytes before them
    /// are the payload, which may be empty.
    pub fn seal_in_place(&self, iv: &[u8; IV_LEN], buffer: &mut [u8]) -> Result<(), SealError> {
        let (payload, room) = buffer.split_last_chunk_mut::<TAG_LEN>().ok_or(SealError::NoRoom)?;
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*iv), Aad::empty(), payload)
            .map_err(|_| SealError::Failed)?;
        // The primitive's tags have this length. `copy_from_slice` would panic for another length.
        *room = tag.as_ref().try_into().map_err(|_| SealError::Failed)?;
        Ok(())
    }

    /// Seals `payload` into `sealed`, which must be [`TAG_LEN`] bytes longer. This takes one pass instead of a copy and
    /// [`seal_in_place`](Self::seal_in_place).
    pub fn seal_into(&self, iv: &[u8; IV_LEN], payload: &[u8], sealed: &mut [u8]) -> Result<(), SealError> {
        self.seal_with_head_into(iv, &[], payload, sealed)
    }

    /// As [`seal_into`](Self::seal_into). The tag also covers `head`, which the receiver gets as it is.
    pub fn seal_with_head_into(
        &self,
        iv: &[u8; IV_LEN],
        head: &[u8],
        payload: &[u8],
        sealed: &mut [u8],
    ) -> Result<(), SealError> {
        let (ciphertext, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(SealError::NoRoom)?;
        if ciphertext.len() != payload.len() {
            return Err(SealError::NoRoom);
        }
        self.0
            .seal_out_of_place_scatter(
                Nonce::assume_unique_for_key(*iv),
                Aad::from(head),
                payload,
                ciphertext,
                &[],
                tag,
            )
            .map_err(|_| SealError::Failed)
    }

    /// Opens `ciphertext ‖ tag` into a new buffer. `sealed` stays unchanged, so another key can be tried.
    pub fn open(&self, iv: &[u8; IV_LEN], sealed: &[u8]) -> Result<Bytes, OpenError> {
        self.open_with_head(iv, &[], sealed)
    }

    fn open_with_head(&self, iv: &[u8; IV_LEN], head: &[u8], sealed: &[u8]) -> Result<Bytes, OpenError> {
        let len = sealed.len().checked_sub(TAG_LEN).ok_or(OpenError::TooShort)?;
        let mut plaintext = vec![0; len];
        self.open_with_head_into(iv, head, sealed, &mut plaintext)?;
        Ok(plaintext.into())
    }

    /// Opens `ciphertext ‖ tag` into `plaintext`, which must be [`TAG_LEN`] bytes shorter. After an error the content
    /// of `plaintext` is useless.
    pub fn open_into(&self, iv: &[u8; IV_LEN], sealed: &[u8], plaintext: &mut [u8]) -> Result<(), OpenError> {
        self.open_with_head_into(iv, &[], sealed, plaintext)
    }

    fn open_with_head_into(
        &self,
        iv: &[u8; IV_LEN],
        head: &[u8],
        sealed: &[u8],
        plaintext: &mut [u8],
    ) -> Result<(), OpenError> {
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(OpenError::TooShort)?;
        if plaintext.len() != ciphertext.len() {
            return Err(OpenError::WrongRoom);
        }
        self.0
            .open_separate_gather(
                Nonce::assume_unique_for_key(*iv),
                Aad::from(head),
                ciphertext,
                tag,
                plaintext,
            )
            .map_err(|_| OpenError::Failed)
    }

    /// Opens a frame as the depacketizer delivers it. A single piece is opened in one pass. Several pieces are copied
    /// together first and then opened in place. `sealed` stays unchanged.
    pub fn open_payload(&self, iv: &[u8; IV_LEN], sealed: &Payload) -> Result<Bytes, OpenError> {
        self.open_payload_with_head(iv, &[], sealed)
    }

    /// As [`open_payload`](Self::open_payload), for what was sealed with `head`.
    pub fn open_payload_with_head(
        &self,
        iv: &[u8; IV_LEN],
        head: &[u8],
        sealed: &Payload,
    ) -> Result<Bytes, OpenError> {
        if let [piece] = sealed.pieces() {
            return self.open_with_head(iv, head, piece);
        }
        let mut buffer = Vec::with_capacity(sealed.len());
        for piece in sealed.pieces() {
            buffer.extend_from_slice(piece);
        }
        let len = buffer.len().checked_sub(TAG_LEN).ok_or(OpenError::TooShort)?;
        self.0
            .open_in_place(Nonce::assume_unique_for_key(*iv), Aad::from(head), &mut buffer)
            .map_err(|_| OpenError::Failed)?;
        buffer.truncate(len);
        Ok(buffer.into())
    }

    /// Whether both are clones of one key. Two keys derived from the same material are not clones.
    pub(super) fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for FrameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::e2ee::test_support::piecewise;

    const IV: [u8; IV_LEN] = [7; IV_LEN];

    fn key(byte: u8) -> FrameKey {
        FrameKey::new(&[byte; 16]).unwrap()
    }

    fn sealed(key: &FrameKey, payload: &[u8]) -> Vec<u8> {
        let mut buffer = [payload, &[0; TAG_LEN]].concat();
        key.seal_in_place(&IV, &mut buffer).unwrap();
        buffer
    }

    #[test]
    fn an_empty_frame_is_its_tag() {
        let key = key(1);
        let sealed = sealed(&key, b"");
        assert_eq!(sealed.len(), 16);
        assert_eq!(key.open(&IV, &sealed).unwrap(), Bytes::new());
        assert_eq!(piecewise(&key, &IV, &sealed, &[8]).unwrap(), Bytes::new());
    }

    #[test]
    fn what_is_shorter_than_a_tag_is_refused() {
        let key = key(1);
        assert_eq!(key.open(&IV, &[0; 15]), Err(OpenError::TooShort));
        assert_eq!(key.open_into(&IV, &[0; 15], &mut []), Err(OpenError::TooShort));
        assert_eq!(key.open_payload(&IV, &Payload::from_pieces(vec![])), Err(OpenError::TooShort));
        let pieces = Payload::from_pieces(vec![Bytes::from_static(&[0; 8]), Bytes::from_static(&[0; 7])]);
        assert_eq!(key.open_payload(&IV, &pieces), Err(OpenError::TooShort));
        assert_eq!(key.seal_in_place(&IV, &mut [0; 15]), Err(SealError::NoRoom));
    }

    #[test]
    fn wrong_room_is_refused_and_left_alone() {
        let key = key(1);
        let sealed = sealed(&key, b"abc");
        for len in [2, 4] {
            let mut room = vec![b'.'; len];
            assert_eq!(key.open_into(&IV, &sealed, &mut room), Err(OpenError::WrongRoom));
            assert_eq!(room, vec![b'.'; len]);
        }
        for len in [0, 15, 18, 20] {
            assert_eq!(key.seal_into(&IV, b"abc", &mut vec![0; len]), Err(SealError::NoRoom), "{len}");
        }
    }

    #[test]
    fn nothing_prints_a_key() {
        assert_eq!(format!("{:?}", key(0xAB)), "FrameKey(..)");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_in_one_piece_or_many(
            payload in prop::collection::vec(any::<u8>(), 0..3000),
            cuts in prop::collection::vec(0usize..3016, 0..5),
        ) {
            let key = key(1);
            let sealed = sealed(&key, &payload);
            prop_assert_eq!(&key.open(&IV, &sealed).unwrap()[..], &payload[..]);
            prop_assert_eq!(&piecewise(&key, &IV, &sealed, &cuts).unwrap()[..], &payload[..]);
            let mut room = vec![0; payload.len()];
            key.open_into(&IV, &sealed, &mut room).unwrap();
            prop_assert_eq!(&room, &payload);
            let mut again = vec![0; sealed.len()];
            key.seal_into(&IV, &payload, &mut again).unwrap();
            prop_assert_eq!(again, sealed);
        }

        #[test]
        fn what_is_sealed_with_a_head_opens_with_that_head_only(
            head in prop::collection::vec(any::<u8>(), 0..20),
            payload in prop::collection::vec(any::<u8>(), 0..300),
            cut in any::<prop::sample::Index>(),
            bit in any::<prop::sample::Index>(),
        ) {
            let key = key(1);
            let mut sealed = vec![0; payload.len() + TAG_LEN];
            key.seal_with_head_into(&IV, &head, &payload, &mut sealed).unwrap();
            let cut = cut.index(sealed.len());
            let pieces = [&sealed[..cut], &sealed[cut..]].map(Bytes::copy_from_slice);
            let (whole, cut) = (Payload::from(Bytes::from(sealed)), Payload::from_pieces(pieces.to_vec()));
            for sealed in [&whole, &cut] {
                prop_assert_eq!(&key.open_payload_with_head(&IV, &head, sealed).unwrap()[..], &payload[..]);
                let longer = [&head[..], &[0]].concat();
                prop_assert_eq!(key.open_payload_with_head(&IV, &longer, sealed), Err(OpenError::Failed));
                if !head.is_empty() {
                    let mut other = head.clone();
                    let bit = bit.index(other.len() * 8);
                    other[bit / 8] ^= 1 << (bit % 8);
                    prop_assert_eq!(key.open_payload_with_head(&IV, &other, sealed), Err(OpenError::Failed));
                    prop_assert_eq!(key.open_payload(&IV, sealed), Err(OpenError::Failed));
                }
            }
        }

        #[test]
        fn any_other_bit_key_or_iv_opens_nothing_and_leaves_the_frame_alone(
            payload in prop::collection::vec(any::<u8>(), 0..300),
            bit in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let key = key(1);
            let good = sealed(&key, &payload);
            let mut bad = good.clone();
            let bit = bit.index(bad.len() * 8);
            bad[bit / 8] ^= 1 << (bit % 8);
            let before = bad.clone();
            prop_assert_eq!(key.open(&IV, &bad), Err(OpenError::Failed));
            let cut = cut.index(bad.len());
            prop_assert_eq!(piecewise(&key, &IV, &bad, &[cut]), Err(OpenError::Failed));
            prop_assert_eq!(bad, before);
            prop_assert_eq!(FrameKey::new(&[2; 16]).unwrap().open(&IV, &good), Err(OpenError::Failed));
            prop_assert_eq!(key.open(&[8; IV_LEN], &good), Err(OpenError::Failed));
        }
    }
}
