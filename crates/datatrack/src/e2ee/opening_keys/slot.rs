use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::e2ee::derivation::DerivedKey;
use crate::e2ee::{FrameKey, IV_LEN, KeyOptions};
use crate::{Instant, Payload};

/// After a search that tried all steps of the window in vain, failing frames start none for so long.
pub const SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// One key of a ring, with the steps ahead of it that a search looked at.
pub(super) struct Slot {
    key: DerivedKey,
    /// The key one step back: frames that it sealed may arrive late.
    previous: Option<FrameKey>,
    /// Frames that failed in a row.
    failures: u32,
    search: Search,
}

/// Where the search for a ratchet step stands.
///
/// Each step is derived once and then kept, so that peers' bad frames cost at most a window of derivations for each
/// key. One frame at a time tries the steps; others that fail meanwhile wait for what it finds.
#[derive(Default)]
struct Search {
    /// The steps ahead of the key, nearest first.
    steps: VecDeque<DerivedKey>,
    /// The IV of the frame that tries them, and how many it has tried.
    probe: Option<([u8; IV_LEN], usize)>,
    /// A further step was asked for.
    deriving: bool,
    /// When the whole window was last tried in vain.
    exhausted: Option<Instant>,
}

/// What became of a frame that a slot was asked to open.
pub(super) enum Attempt {
    Opened(Bytes),
    /// The next step must be derived before more can be said; to be asked for now.
    AskForStep,
    /// The same, and it was asked for before.
    Wait,
    /// Neither the key nor a step that may be tried now opens it.
    Failed,
}

impl Slot {
    pub(super) fn new(key: DerivedKey) -> Self {
        Self { key, previous: None, failures: 0, search: Search::default() }
    }

    /// Opens a frame with the key or the one before it.
    pub(super) fn open(&mut self, iv: &[u8; IV_LEN], sealed: &Payload) -> Option<Bytes> {
        let opened = self.key.key.open_payload(iv, sealed).ok().or_else(|| {
            let previous = self.previous.as_ref()?;
            previous.open_payload(iv, sealed).ok()
        })?;
        self.failures = 0;
        Some(opened)
    }

    /// Looks for the step ahead that opens a frame which the key did not open, and goes there if there is one.
    pub(super) fn search(
        &mut self,
        iv: &[u8; IV_LEN],
        sealed: &Payload,
        window: u8,
        now: Instant,
    ) -> Attempt {
        let window = usize::from(window);
        if window == 0 || self.search.is_paused(now) {
            return Attempt::Failed;
        }
        if self.search.deriving {
            return Attempt::Wait;
        }
        let tried = match self.search.probe {
            Some((probe, tried)) if probe == *iv => tried,
            _ => 0,
        };
        let found =
            self.search.steps.iter().enumerate().take(window).skip(tried).find_map(|(ahead, step)| {
                step.key.open_payload(iv, sealed).ok().map(|opened| (ahead, opened))
            });
        if let Some((ahead, opened)) = found {
            self.advance_to(ahead);
            self.failures = 0;
            return Attempt::Opened(opened);
        }
        if self.search.steps.len() < window {
            self.search.probe = Some((*iv, self.search.steps.len()));
            self.search.deriving = true;
            return Attempt::AskForStep;
        }
        self.search.give_up(now);
        Attempt::Failed
    }

    /// What the next step of a search is to be derived from, if one is still wanted.
    pub(super) fn search_base(&self) -> Option<&DerivedKey> {
        self.search.deriving.then(|| self.search.steps.back().unwrap_or(&self.key))
    }

    /// Takes the step that a search asked for.
    pub(super) fn handle_step(&mut self, step: Option<DerivedKey>, now: Instant) {
        if !std::mem::take(&mut self.search.deriving) {
            return;
        }
        match step {
            Some(step) => self.search.steps.push_back(step),
            None => self.search.give_up(now),
        }
    }

    /// The key one step ahead, if a search has derived it already.
    pub(super) fn known_step(&self) -> Option<&DerivedKey> {
        self.search.steps.front()
    }

    /// The key, and where the chain goes on from it.
    pub(super) const fn key(&self) -> &DerivedKey {
        &self.key
    }

    /// Replaces the key by the one a step ahead, because the application said so.
    pub(super) fn ratchet(&mut self, next: DerivedKey) {
        // The steps that a search knows are steps of the same chain: the first of them is `next`.
        self.search.steps.pop_front();
        self.replace(next);
        self.search.exhausted = None;
        self.failures = 0;
    }

    /// Counts a frame that failed for good; whether its key is invalid now.
    pub(super) fn count_failure(&mut self, options: &KeyOptions) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.is_invalid(options)
    }

    /// Whether more frames in a row failed than the options tolerate.
    pub(super) fn is_invalid(&self, options: &KeyOptions) -> bool {
        u32::try_from(options.failure_tolerance).is_ok_and(|tolerance| self.failures > tolerance)
    }

    fn advance_to(&mut self, ahead: usize) {
        // Only the step just before the new key is of use: it is what late frames were sealed with.
        for _ in 0..=ahead {
            if let Some(step) = self.search.steps.pop_front() {
                self.replace(step);
            }
        }
    }

    fn replace(&mut self, next: DerivedKey) {
        let last = std::mem::replace(&mut self.key, next);
        self.previous = Some(last.key);
        self.search.probe = None;
    }
}

impl Search {
    fn is_paused(&self, now: Instant) -> bool {
        self.exhausted.is_some_and(|then| now.saturating_duration_since(then) < SEARCH_PAUSE)
    }

    fn give_up(&mut self, now: Instant) {
        self.exhausted = Some(now);
        self.probe = None;
    }
}
