use std::fmt;

use super::derivation::{DerivedKey, Work};
use super::error::check_index;
use super::jobs::{Job, JobKind, Jobs, Purpose};
use super::{
    Completion, Derivation, DerivationId, Derived, E2eeError, FrameKey, KEY_RING_SIZE, KeyMaterial,
    KeyOptions,
};

/// The keys that the local participant seals with: up to 16, one of them current (index 0 at first).
///
/// A key is in use from the [`Completion`] on; until then frames are sealed with the one that it replaces. Setting a
/// key does not make its index current, so that a new key can be given to all receivers first:
/// [`set_current_index`](Self::set_current_index) does.
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
    /// No keys yet. Of the options, only how keys are derived matters here.
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

    /// Asks for a key at `index` (0 to 15), derived from `material`.
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

    /// Asks for the key one step ahead of the one at `index` (0 to 15), to replace it.
    ///
    /// Browsers do not follow a ratchet on their own: their applications have to ratchet too.
    pub fn ratchet(&mut self, index: u8) -> Result<DerivationId, E2eeError> {
        check_index(index)?;
        if self.slot(index).is_none() && !self.jobs.will_set(index) {
            return Err(E2eeError::NoKey { index });
        }
        Ok(self.ask(index, JobKind::Ratchet))
    }

    /// Seals with the key at `index` (0 to 15) from now on. There need not be one yet: see
    /// [`is_pending`](Self::is_pending).
    pub fn set_current_index(&mut self, index: u8) -> Result<(), E2eeError> {
        check_index(index)?;
        self.current = index;
        Ok(())
    }

    /// The index that frames are sealed at, whether there is a key or not.
    pub const fn current_index(&self) -> u8 {
        self.current
    }

    /// The current index, its key, and the key's generation: a number that no other key of this object has, neither
    /// at another index nor before or after a ratchet. Whoever counts IVs on his own must renew them when it changes;
    /// [`FrameSealer`](super::FrameSealer) does.
    pub fn current(&self) -> Option<(u8, &FrameKey, u64)> {
        self.slot(self.current).map(|slot| (self.current, &slot.derived.key, slot.generation))
    }

    /// Whether a key for the current index is being derived: where there is none yet, frames are worth holding.
    pub fn is_pending(&self) -> bool {
        self.jobs.concern(self.current)
    }

    /// The next derivation to be run; one at a time, in the order in which they were asked for.
    pub fn poll_derivation(&mut self) -> Option<Derivation> {
        let job = self.jobs.start()?;
        let work = match job.kind {
            JobKind::Set(material) => Work::Key(material),
            JobKind::Ratchet | JobKind::Search => {
                self.slot(job.index).map_or(Work::Nothing, |slot| Work::Step(slot.derived.material.clone()))
            }
        };
        Some(Derivation { id: job.id, scope: None, derivation: self.options.derivation, work })
    }

    /// Puts a derived key in its place. `None` if the keys were cleared in the meantime, or if the result belongs to
    /// another machine.
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

    /// Forgets all keys and all that was asked for, and returns what will never be completed for it. The current index
    /// stays.
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
