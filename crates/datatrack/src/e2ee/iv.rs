use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::IV_LEN;

const PREFIX_LEN: usize = 8;

/// Where IV prefixes come from.
///
/// A shared passphrase is one key for all participants, tracks and restarts, so a prefix that comes twice breaks the
/// encryption. Outside of tests [`SystemIvRandom`] is the only implementation, and there must be no other: above all no
/// seeded one.
pub trait IvRandom {
    /// Fills `prefix` with bytes that nobody can foresee.
    fn fill(&mut self, prefix: &mut [u8; PREFIX_LEN]) -> Result<(), IvRandomError>;
}

/// No random bytes could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes could be had")]
pub struct IvRandomError;

/// The crypto library's generator, which the operating system's seeds.
#[derive(Debug, Clone, Default)]
pub struct SystemIvRandom(SystemRandom);

impl SystemIvRandom {
    /// A handle to the generator; it holds no state of its own.
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
/// Ninety-six random bits for each frame would come too close to a repetition at high rates; so the prefix is drawn
/// anew only when a sequence starts, when it is renewed, and when its 2³² counts are used up. It cannot be cloned: a
/// clone would give the same IVs again.
#[derive(Debug, Default)]
pub struct IvSequence {
    prefix: Option<[u8; PREFIX_LEN]>,
    counter: u32,
}

impl IvSequence {
    /// A sequence that draws its prefix with its first IV.
    pub const fn new() -> Self {
        Self { prefix: None, counter: 0 }
    }

    /// Leaves the prefix behind; the next IV has a new one. Due for each new key.
    pub const fn renew(&mut self) {
        self.prefix = None;
    }

    /// An IV that this sequence never gave before. After an error nothing has changed.
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

    /// Moves the counter, with the prefix as it is.
    #[cfg(test)]
    pub(super) const fn set_counter(&mut self, counter: u32) {
        self.counter = counter;
    }
}
