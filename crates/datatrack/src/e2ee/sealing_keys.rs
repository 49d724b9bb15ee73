use std::fmt;

use super::derivation::{DerivedKey, Work};
use super::error::check_index;
use super::jobs::{Job, JobKind, Jobs, Purpose};
use super::{
    Completion, Derivation, DerivationId, Derived, E2eeError, FrameKey, KEY_RING_SIZE, KeyMaterial,
    KeyOptions,
};

/// The keys that seal the local participant's frames: up to 16, one of them current (index 0 at first).
///
/// A key is in use from its [`Completion`] on. Until then, frames are sealed with the key that it replaces. Setting a
/// key does not make its index current, so that all receivers can get a new key first.
/// [`set_current_index`](Self::set_current_index) makes it current.
pub struct SealingKeys {
    options: KeyOptions,
    ring: [Option<Slot>; KEY_RING_SIZE as usize],
    current: u8,
    jobs: Jobs,
    next_id: u64,
    generation: u64,
}

struct Slot {
    derived: DerivedKey,
    generation: u64,
}

impl SealingKeys {
    /// Sealing keys without any key. Of the options, only the key derivation matters here.
    pub const fn new(options: KeyOptions) -> Self {
        Self {
            options,
            ring: [const { None }; KEY_RING_SIZE as usize],
            current: 0,
            jobs: Jobs::new(),
            next_id: 0,
            generation: 0,
        }
    }

    /// Requests a key at `index` (0 to 15), derived from `material`.
    pub fn set_key(
        &mut self,
        index: u8,
        material: impl Into<KeyMaterial>,
    ) -> Result<DerivationId, E2eeError> {
        let material = material.into();
        check_index(index)?;
        if material.is_empty() {
            return Err(E2eeError::EmptyKeyMaterial);
        }
        Ok(self.ask(index, JobKind::Set(material)))
    }

    /// Requests the next ratchet step of the key at `index` (0 to 15), to replace the key.
    ///
    /// Browsers do not follow a ratchet by themselves: their applications have to ratchet, too.
    pub fn ratchet(&mut self, index: u8) -> Result<DerivationId, E2eeError> {
        check_index(index)?;
        if self.slot(index).is_none() && !self.jobs.will_set(index) {
            return Err(E2eeError::NoKey { index });
        }
        Ok(self.ask(index, JobKind::Ratchet))
    }

    /// Seals with the key at `index` (0 to 15) from now on. The key may still be missing: see
    /// [`is_pending`](Self::is_pending).
    pub fn set_current_index(&mut self, index: u8) -> Result<(), E2eeError> {
        check_index(index)?;
        self.current = index;
        Ok(())
    }

    /// The index of the key that seals frames, whether or not that key is there.
    pub const fn current_index(&self) -> u8 {
        self.current
    }

    /// The current index, its key, and the key's generation. The generation is a number that no other key of this
    /// object has, neither at another index nor before or after a ratchet. A caller that counts IVs itself must renew
    /// them when it changes; [`FrameSealer`](super::FrameSealer) does.
    pub fn current(&self) -> Option<(u8, &FrameKey, u64)> {
        self.slot(self.current).map(|slot| (self.current, &slot.derived.key, slot.generation))
    }

    /// Whether a key for the current index is being derived. If there is none yet, frames are worth holding.
    pub fn is_pending(&self) -> bool {
        self.jobs.concern(self.current)
    }

    /// The next derivation to run. There is one at a time, in the order of the requests.
    pub fn poll_derivation(&mut self) -> Option<Derivation> {
        let job = self.jobs.start()?;
        let work = match job.kind {
            JobKind::Set(material) => Work::Derive(material),
            JobKind::Ratchet | JobKind::Search => {
                self.slot(job.index).map_or(Work::Nothing, |slot| Work::Derive(slot.derived.next.clone()))
            }
        };
        Some(Derivation { id: job.id, scope: None, derivation: self.options.derivation, work })
    }

    /// Stores a derived key. Returns `None` if the keys were cleared meanwhile, or if the result belongs to another
    /// machine.
    pub fn handle_derived(&mut self, derived: Derived) -> Option<Completion> {
        if derived.scope.is_some() {
            return None;
        }
        let job = self.jobs.finish(derived.id)?;
        debug_assert!(job.purpose != Purpose::Search, "the sealing side searches for nothing");
        let result = derived.result.map_err(E2eeError::from).map(|derived| {
            self.generation += 1;
            if let Some(slot) = self.ring.get_mut(usize::from(job.index)) {
                *slot = Some(Slot { derived, generation: self.generation });
            }
        });
        Some(Completion { id: job.id, result })
    }

    /// Forgets all keys and requests. Returns the requests that will never complete. The current index stays.
    pub fn clear(&mut self) -> Vec<DerivationId> {
        self.ring = [const { None }; KEY_RING_SIZE as usize];
        let cancelled = self.jobs.asked_for().collect();
        self.jobs = Jobs::new();
        cancelled
    }

    fn slot(&self, index: u8) -> Option<&Slot> {
        self.ring.get(usize::from(index))?.as_ref()
    }

    fn ask(&mut self, index: u8, kind: JobKind) -> DerivationId {
        let id = DerivationId(self.next_id);
        self.next_id += 1;
        self.jobs.push(Job { id, index, kind });
        id
    }
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKeys").field("current", &self.current).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::test_support::{chain, frame, settle};
    use crate::e2ee::{IV_LEN, KeyDerivation, OpeningKeys};

    fn keys() -> SealingKeys {
        SealingKeys::new(KeyOptions::per_participant(KeyDerivation::Hkdf))
    }

    /// Whether the current key is `expected`.
    fn seals_with(keys: &SealingKeys, expected: &FrameKey) -> bool {
        let (_, key, _) = keys.current().unwrap();
        let (iv, sealed) = frame(key, 1, b"x");
        expected.open_payload(&iv, &sealed).is_ok()
    }

    #[test]
    fn a_key_is_in_use_when_it_is_derived_and_not_before() {
        let mut keys = keys();
        assert!(keys.current().is_none() && !keys.is_pending());
        let id = keys.set_key(0, &b"a"[..]).unwrap();
        assert!(keys.current().is_none() && keys.is_pending());
        let derivation = keys.poll_derivation().unwrap();
        assert_eq!(derivation.id(), id);
        assert!(keys.is_pending(), "it is being derived");
        assert_eq!(keys.handle_derived(derivation.run()), Some(Completion { id, result: Ok(()) }));
        assert!(!keys.is_pending());
        assert!(seals_with(&keys, &chain(b"a", 0)[0]));
    }

    #[test]
    fn derivations_run_one_at_a_time_and_in_order() {
        let mut keys = keys();
        let ids = [
            keys.set_key(0, &b"a"[..]).unwrap(),
            keys.ratchet(0).unwrap(),
            keys.set_key(1, &b"b"[..]).unwrap(),
            keys.ratchet(0).unwrap(),
        ];
        for id in ids {
            let derivation = keys.poll_derivation().unwrap();
            assert!(keys.poll_derivation().is_none(), "one at a time");
            assert_eq!(keys.handle_derived(derivation.run()), Some(Completion { id, result: Ok(()) }));
        }
        assert!(keys.poll_derivation().is_none());
        assert!(seals_with(&keys, &chain(b"a", 2)[2]), "two steps ahead");
        keys.set_current_index(1).unwrap();
        assert!(seals_with(&keys, &chain(b"b", 0)[0]));
    }

    #[test]
    fn the_old_key_seals_until_the_new_one_is_derived() {
        let mut keys = keys();
        keys.set_key(0, &b"a"[..]).unwrap();
        settle(&mut keys);
        keys.set_key(0, &b"b"[..]).unwrap();
        let derivation = keys.poll_derivation().unwrap();
        assert!(keys.is_pending() && seals_with(&keys, &chain(b"a", 0)[0]));
        keys.handle_derived(derivation.run());
        assert!(seals_with(&keys, &chain(b"b", 0)[0]));
    }

    #[test]
    fn setting_a_key_at_another_index_leaves_the_current_one_alone() {
        let mut keys = keys();
        keys.set_key(0, &b"a"[..]).unwrap();
        settle(&mut keys);
        keys.set_key(15, &b"b"[..]).unwrap();
        assert!(!keys.is_pending(), "nothing is due at index 0");
        settle(&mut keys);
        assert_eq!(keys.current().unwrap().0, 0);
        keys.set_current_index(15).unwrap();
        assert_eq!((keys.current().unwrap().0, keys.current_index()), (15, 15));
    }

    #[test]
    fn an_index_without_a_key_seals_nothing() {
        let mut keys = keys();
        keys.set_key(0, &b"a"[..]).unwrap();
        settle(&mut keys);
        keys.set_current_index(3).unwrap();
        assert!(keys.current().is_none() && !keys.is_pending());
        keys.set_key(3, &b"c"[..]).unwrap();
        assert!(keys.is_pending());
    }

    #[test]
    fn indexes_from_16_on_are_errors() {
        let mut keys = keys();
        for index in [16, 17, 255] {
            let error = E2eeError::KeyIndexOutOfRange { index };
            assert_eq!(keys.set_key(index, &b"a"[..]), Err(error));
            assert_eq!(keys.ratchet(index), Err(error));
            assert_eq!(keys.set_current_index(index), Err(error));
        }
        assert!(keys.poll_derivation().is_none());
        assert_eq!(keys.current_index(), 0);
    }

    #[test]
    fn empty_material_and_a_ratchet_without_a_key_are_errors() {
        let mut keys = keys();
        assert_eq!(keys.set_key(0, vec![]), Err(E2eeError::EmptyKeyMaterial));
        assert_eq!(keys.ratchet(0), Err(E2eeError::NoKey { index: 0 }));
        keys.set_key(0, &b"a"[..]).unwrap();
        assert_eq!(keys.ratchet(1), Err(E2eeError::NoKey { index: 1 }));
    }

    #[test]
    fn no_two_keys_have_one_generation() {
        let mut keys = keys();
        let mut seen = std::collections::HashSet::new();
        keys.set_key(0, &b"a"[..]).unwrap();
        settle(&mut keys);
        assert!(seen.insert(keys.current().unwrap().2));
        keys.set_key(0, &b"a"[..]).unwrap();
        settle(&mut keys);
        assert!(seen.insert(keys.current().unwrap().2), "the same material is a new key");
        keys.ratchet(0).unwrap();
        settle(&mut keys);
        assert!(seen.insert(keys.current().unwrap().2));
        keys.clear();
        keys.set_key(0, &b"a"[..]).unwrap();
        settle(&mut keys);
        assert!(seen.insert(keys.current().unwrap().2), "clearing restarts no count");
    }

    #[test]
    fn clearing_cancels_what_was_asked_for() {
        let mut keys = keys();
        keys.set_key(0, &b"old"[..]).unwrap();
        settle(&mut keys);
        let asked = vec![keys.set_key(0, &b"a"[..]).unwrap(), keys.ratchet(0).unwrap()];
        let derivation = keys.poll_derivation().unwrap();
        assert_eq!(keys.clear(), asked);
        assert_eq!(keys.handle_derived(derivation.run()), None);
        assert!(keys.current().is_none() && !keys.is_pending() && keys.poll_derivation().is_none());
        keys.set_key(0, &b"b"[..]).unwrap();
        settle(&mut keys);
        assert!(seals_with(&keys, &chain(b"b", 0)[0]));
    }

    #[test]
    fn results_of_the_opening_side_are_not_taken() {
        let mut keys = keys();
        keys.set_key(0, &b"a"[..]).unwrap();
        let derivation = keys.poll_derivation().unwrap();
        let mut opening = OpeningKeys::new(KeyOptions::per_participant(KeyDerivation::Hkdf));
        let scope = crate::e2ee::KeyScope::Participant("p".into());
        opening.set_key(scope, 0, &b"b"[..]).unwrap();
        let foreign = opening.poll_derivation().unwrap();
        assert_eq!(foreign.id(), derivation.id(), "the numbers are the same, and yet");
        assert_eq!(keys.handle_derived(foreign.run()), None);
        assert_eq!(opening.handle_derived(derivation.run(), crate::Instant::ZERO), None);
        assert!(keys.current().is_none());
        assert_eq!(
            opening.open(
                "p",
                0,
                &[0; IV_LEN],
                &bytes::Bytes::from_static(&[0; 16]).into(),
                crate::Instant::ZERO
            ),
            crate::e2ee::OpenOutcome::Wait
        );
    }

    #[test]
    fn nothing_prints_keys() {
        let mut keys = keys();
        keys.set_key(0, &b"SECRET"[..]).unwrap();
        let derivation = keys.poll_derivation().unwrap();
        let before = format!("{derivation:?}");
        let derived = derivation.run();
        let printed = format!("{before} {derived:?} {keys:?}");
        assert_eq!(
            printed,
            "Derivation { id: DerivationId(0), .. } Derived { id: DerivationId(0), .. } SealingKeys { current: 0, .. }"
        );
    }
}
