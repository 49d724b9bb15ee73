use super::{FrameKey, IV_LEN, IvRandom, IvRandomError, IvSequence, SealError, SealingKeys};

/// Seals the frames of one track object, each with an IV that its key never sees again.
///
/// It remembers the key that its IV prefix was drawn for. Whenever [`SealingKeys::current`] returns another key, for
/// whatever reason, it draws a new prefix. A track that is republished gets a new sealer.
#[derive(Debug, Default)]
pub struct FrameSealer {
    ivs: IvSequence,
    /// Kept alive, not only compared: while it lives, no other key can have its address.
    key: Option<FrameKey>,
}

/// What a receiver needs besides the sealed payload: the content of the E2EE extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedWith {
    /// The key's index, 0 to 15.
    pub key_index: u8,
    /// The IV.
    pub iv: [u8; IV_LEN],
}

/// Why a frame could not be sealed. Such a frame must not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameSealError {
    /// There is no key at the current index. [`SealingKeys::is_pending`] tells whether one is being derived.
    #[error("there is no key to seal with")]
    NoKey,
    /// No IV was available.
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

    /// Seals the payload in place with the current key. The last [`TAG_LEN`](super::TAG_LEN) bytes of `buffer` are room
    /// for the tag. After an error `buffer` must not be sent.
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

    /// Seals `payload` into `sealed`, which must be [`TAG_LEN`](super::TAG_LEN) bytes longer. This takes one pass
    /// instead of a copy and [`seal_in_place`](Self::seal_in_place). After an error `sealed` must not be sent.
    pub fn seal_into(
        &mut self,
        keys: &SealingKeys,
        random: &mut dyn IvRandom,
        payload: &[u8],
        sealed: &mut [u8],
    ) -> Result<SealedWith, FrameSealError> {
        self.seal_with_head_into(keys, random, &[], payload, sealed)
    }

    /// As [`seal_into`](Self::seal_into). The tag also covers `head`, which the receiver gets as it is.
    pub fn seal_with_head_into(
        &mut self,
        keys: &SealingKeys,
        random: &mut dyn IvRandom,
        head: &[u8],
        payload: &[u8],
        sealed: &mut [u8],
    ) -> Result<SealedWith, FrameSealError> {
        let (key, with) = self.next(keys, random)?;
        key.seal_with_head_into(&with.iv, head, payload, sealed)?;
        Ok(with)
    }

    /// The current key and an IV that it has never seen.
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

    /// Drops the IV prefix, as for a track that is republished.
    pub const fn renew(&mut self) {
        self.ivs.renew();
    }

    #[cfg(test)]
    pub(super) const fn ivs(&mut self) -> &mut IvSequence {
        &mut self.ivs
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;
    use crate::e2ee::test_support::{CountingRandom, chain, settle};
    use crate::e2ee::{KeyDerivation, KeyOptions, TAG_LEN};

    fn keys() -> SealingKeys {
        SealingKeys::new(KeyOptions::shared(KeyDerivation::Hkdf))
    }

    #[test]
    fn a_frame_is_sealed_with_the_current_key_and_says_so() {
        let (mut keys, mut sealer, mut random) = (keys(), FrameSealer::new(), CountingRandom::default());
        let mut buffer = [b"payload", &[0; TAG_LEN][..]].concat();
        assert_eq!(sealer.seal_in_place(&keys, &mut random, &mut buffer), Err(FrameSealError::NoKey));
        assert_eq!(&buffer[..7], b"payload", "without a key nothing is touched");
        keys.set_current_index(5).unwrap();
        keys.set_key(5, &b"a"[..]).unwrap();
        settle(&mut keys);
        let with = sealer.seal_in_place(&keys, &mut random, &mut buffer).unwrap();
        assert_eq!(with.key_index, 5);
        assert_eq!(chain(b"a", 0)[0].open(&with.iv, &buffer).unwrap(), &b"payload"[..]);
        let mut into = vec![0; 7 + TAG_LEN];
        let again = sealer.seal_into(&keys, &mut random, b"payload", &mut into).unwrap();
        assert_ne!(again.iv, with.iv);
        assert_eq!(chain(b"a", 0)[0].open(&again.iv, &into).unwrap(), &b"payload"[..]);
    }

    #[test]
    fn an_iv_of_a_frame_that_failed_is_used_up() {
        let (mut keys, mut sealer, mut random) = (keys(), FrameSealer::new(), CountingRandom::default());
        keys.set_key(0, &b"a"[..]).unwrap();
        settle(&mut keys);
        assert_eq!(
            sealer.seal_in_place(&keys, &mut random, &mut [0; 3]),
            Err(FrameSealError::Seal(SealError::NoRoom))
        );
        assert_eq!(sealer.seal_in_place(&keys, &mut random, &mut [0; 16]).unwrap().iv[8..], [0, 0, 0, 1]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Seal { sealer: usize, keys: usize },
        NewSealer { sealer: usize },
        Renew { sealer: usize },
        NearTheEnd { sealer: usize, left: u32 },
        SetKey { keys: usize, index: u8 },
        Ratchet { keys: usize, index: u8 },
        Use { keys: usize, index: u8 },
        Clear { keys: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        let (sealer, keys, index) = (0..3usize, 0..2usize, 0..3u8);
        prop_oneof![
            12 => (sealer.clone(), keys.clone()).prop_map(|(sealer, keys)| Step::Seal { sealer, keys }),
            1 => sealer.clone().prop_map(|sealer| Step::NewSealer { sealer }),
            1 => sealer.clone().prop_map(|sealer| Step::Renew { sealer }),
            2 => (sealer, 0..3u32).prop_map(|(sealer, left)| Step::NearTheEnd { sealer, left }),
            2 => (keys.clone(), index.clone()).prop_map(|(keys, index)| Step::SetKey { keys, index }),
            2 => (keys.clone(), index.clone()).prop_map(|(keys, index)| Step::Ratchet { keys, index }),
            3 => (keys.clone(), index).prop_map(|(keys, index)| Step::Use { keys, index }),
            1 => keys.prop_map(|keys| Step::Clear { keys }),
        ]
    }

    proptest! {
        /// Two sets of keys from one passphrase, as two participants with a shared key have them, and three tracks that
        /// switch between the sets. A real publisher never does that.
        #[test]
        fn no_prefix_serves_two_keys_or_two_sealers_and_no_iv_comes_twice(
            steps in prop::collection::vec(step(), 1..250),
        ) {
            let mut random = CountingRandom::default();
            let mut sealers = [(); 3].map(|()| FrameSealer::new());
            let (mut names, mut next_name) = ([0, 1, 2], 3);
            let mut all_keys = [keys(), keys()];
            let mut owners = HashMap::new();
            let mut seen = HashSet::new();
            for step in steps {
                match step {
                    Step::Seal { sealer, keys } => {
                        let Some((index, _, generation)) = all_keys[keys].current() else { continue };
                        let mut buffer = [0; TAG_LEN + 4];
                        let with =
                            sealers[sealer].seal_in_place(&all_keys[keys], &mut random, &mut buffer).unwrap();
                        prop_assert_eq!(with.key_index, index);
                        prop_assert!(seen.insert(with.iv), "an IV came twice");
                        let prefix: [u8; 8] = with.iv[..8].try_into().unwrap();
                        let owner = (names[sealer], keys, generation);
                        prop_assert_eq!(*owners.entry(prefix).or_insert(owner), owner);
                    }
                    Step::NewSealer { sealer } => {
                        sealers[sealer] = FrameSealer::new();
                        names[sealer] = next_name;
                        next_name += 1;
                    }
                    Step::Renew { sealer } => sealers[sealer].renew(),
                    Step::NearTheEnd { sealer, left } => sealers[sealer].ivs().skip_to(u32::MAX - left),
                    Step::SetKey { keys, index } => {
                        all_keys[keys].set_key(index, &b"the same for all"[..]).unwrap();
                        settle(&mut all_keys[keys]);
                    }
                    Step::Ratchet { keys, index } => {
                        if all_keys[keys].ratchet(index).is_ok() {
                            settle(&mut all_keys[keys]);
                        }
                    }
                    Step::Use { keys, index } => all_keys[keys].set_current_index(index).unwrap(),
                    Step::Clear { keys } => assert!(all_keys[keys].clear().is_empty()),
                }
            }
        }
    }
}
