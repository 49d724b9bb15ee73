use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::IV_LEN;

const PREFIX_LEN: usize = 8;

/// The source of IV prefixes.
///
/// With a shared passphrase, all participants, tracks and restarts use one key. So a repeated prefix breaks the
/// encryption. Outside of tests [`SystemIvRandom`] is the only implementation, and there must be no other. In
/// particular, there must be no seeded one.
pub trait IvRandom {
    /// Fills `prefix` with unpredictable bytes.
    fn fill(&mut self, prefix: &mut [u8; PREFIX_LEN]) -> Result<(), IvRandomError>;
}

/// No random bytes were available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes could be had")]
pub struct IvRandomError;

/// The crypto library's generator. The operating system's generator seeds it.
#[derive(Debug, Clone, Default)]
pub struct SystemIvRandom(SystemRandom);

impl SystemIvRandom {
    /// A handle to the generator. It has no state of its own.
    pub fn new() -> Self {
        Self::default()
    }
}

impl IvRandom for SystemIvRandom {
    fn fill(&mut self, prefix: &mut [u8; PREFIX_LEN]) -> Result<(), IvRandomError> {
        self.0.fill(prefix).map_err(|_| IvRandomError)
    }
}

/// IVs of one sealer with one key: 8 random bytes, then a counter (u32, big endian).
///
/// Ninety-six random bits for each frame would make a repetition too likely at high rates. So a prefix is drawn only
/// when a sequence starts, when it is renewed, and when its 2³² counts are used up. A sequence cannot be cloned: a
/// clone would give the same IVs again.
#[derive(Debug, Default)]
pub struct IvSequence {
    prefix: Option<[u8; PREFIX_LEN]>,
    counter: u32,
}

impl IvSequence {
    /// A sequence that draws its prefix together with its first IV.
    pub const fn new() -> Self {
        Self { prefix: None, counter: 0 }
    }

    /// Drops the prefix. The next IV has a new one. Call it for each new key.
    pub const fn renew(&mut self) {
        self.prefix = None;
    }

    /// An IV that this sequence has never given before. After an error nothing has changed.
    pub fn next(&mut self, random: &mut dyn IvRandom) -> Result<[u8; IV_LEN], IvRandomError> {
        let prefix = match self.prefix {
            Some(prefix) => prefix,
            None => {
                let mut prefix = [0; PREFIX_LEN];
                random.fill(&mut prefix)?;
                self.counter = 0;
                self.prefix = Some(prefix);
                prefix
            }
        };
        let mut iv = [0; IV_LEN];
        let (head, tail) = iv.split_at_mut(PREFIX_LEN);
        head.copy_from_slice(&prefix);
        tail.copy_from_slice(&self.counter.to_be_bytes());
        match self.counter.checked_add(1) {
            Some(counter) => self.counter = counter,
            None => self.renew(),
        }
        Ok(iv)
    }

    /// Skips the counts below `counter`. It never goes back.
    #[cfg(test)]
    pub(super) fn skip_to(&mut self, counter: u32) {
        self.counter = self.counter.max(counter);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::e2ee::test_support::CountingRandom;

    struct Broken;

    impl IvRandom for Broken {
        fn fill(&mut self, prefix: &mut [u8; PREFIX_LEN]) -> Result<(), IvRandomError> {
            *prefix = [0xFF; PREFIX_LEN];
            Err(IvRandomError)
        }
    }

    #[test]
    fn an_iv_is_a_prefix_and_a_big_endian_counter() {
        let (mut ivs, mut random) = (IvSequence::new(), CountingRandom::default());
        let prefix = 1u64.to_be_bytes();
        for counter in 0..3u32 {
            assert_eq!(ivs.next(&mut random).unwrap(), *[&prefix[..], &counter.to_be_bytes()].concat());
        }
        assert_eq!(random.drawn(), 1);
    }

    #[test]
    fn before_the_counter_wraps_the_prefix_is_new() {
        let (mut ivs, mut random) = (IvSequence::new(), CountingRandom::default());
        ivs.next(&mut random).unwrap();
        ivs.skip_to(u32::MAX - 1);
        let got: Vec<_> = (0..4).map(|_| ivs.next(&mut random).unwrap()).collect();
        let counter = |iv: &[u8; IV_LEN]| u32::from_be_bytes(iv[8..].try_into().unwrap());
        let prefix = |iv: &[u8; IV_LEN]| u64::from_be_bytes(iv[..8].try_into().unwrap());
        assert_eq!(got.iter().map(counter).collect::<Vec<_>>(), [u32::MAX - 1, u32::MAX, 0, 1]);
        assert_eq!(got.iter().map(prefix).collect::<Vec<_>>(), [1, 1, 2, 2]);
    }

    #[test]
    fn without_random_bytes_there_is_no_iv_and_nothing_is_used_twice() {
        let (mut ivs, mut random) = (IvSequence::new(), CountingRandom::default());
        assert_eq!(ivs.next(&mut Broken), Err(IvRandomError));
        let first = ivs.next(&mut random).unwrap();
        assert_eq!(first[..8], 1u64.to_be_bytes());
        ivs.renew();
        assert_eq!(ivs.next(&mut Broken), Err(IvRandomError));
        assert_eq!(ivs.next(&mut random).unwrap()[..8], 2u64.to_be_bytes());
    }

    #[test]
    fn the_systems_prefixes_differ() {
        let mut random = SystemIvRandom::new();
        let prefixes: HashSet<_> = (0..64).map(|_| IvSequence::new().next(&mut random).unwrap()).collect();
        assert_eq!(prefixes.len(), 64);
    }

    proptest! {
        #[test]
        fn no_iv_comes_twice_across_renewals_and_wraps(
            steps in prop::collection::vec((0u8..12, 0u32..4), 1..200),
        ) {
            let (mut ivs, mut random) = (IvSequence::new(), CountingRandom::default());
            let mut seen = HashSet::new();
            for (step, back) in steps {
                match step {
                    0 => ivs.renew(),
                    1 => ivs.skip_to(u32::MAX - back),
                    _ => prop_assert!(seen.insert(ivs.next(&mut random).unwrap())),
                }
            }
        }
    }
}
