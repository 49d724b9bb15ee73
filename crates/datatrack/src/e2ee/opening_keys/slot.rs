use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::Instant;
use crate::e2ee::derivation::DerivedKey;
use crate::e2ee::{FrameKey, IV_LEN, KeyOptions, SealedFrame};

use super::senders::Senders;

/// After a search that tried all steps of the window in vain, failing frames of that sender start no new search for
/// this long.
pub const SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// One key of a ring, with the steps ahead of it that a search has derived.
pub(super) struct Slot {
    key: DerivedKey,
    /// The key one step back. Frames that it sealed may arrive late.
    previous: Option<FrameKey>,
    /// Failures by sender: a sender without the key must not make it invalid for the others.
    senders: Senders,
    search: Search,
}

/// The state of the search for a ratchet step.
///
/// Each step is derived once and then kept. So a peer's bad frames cost at most one window of derivations for each key.
/// One frame at a time tries the steps. Other frames that fail meanwhile wait for its result.
#[derive(Default)]
struct Search {
    /// The steps ahead of the key, nearest first.
    steps: VecDeque<DerivedKey>,
    /// The IV of the frame that tries the steps, and how many it has tried.
    probe: Option<([u8; IV_LEN], usize)>,
    /// Whether a further step was requested.
    deriving: bool,
    /// When the derivation of a step last failed.
    failed: Option<Instant>,
}

/// The result of a slot's attempt to open a frame.
pub(super) enum Attempt {
    Opened(Bytes),
    /// The next step must be derived first. The caller has to request it now.
    AskForStep,
    /// The next step must be derived first. It was requested before.
    Wait,
    /// Neither the key nor a step that may be tried now opens it.
    Failed,
}

impl Slot {
    pub(super) fn new(key: DerivedKey) -> Self {
        Self { key, previous: None, senders: Senders::default(), search: Search::default() }
    }

    /// Opens a frame with the key or with the one before it.
    pub(super) fn open(&mut self, sender: &str, frame: SealedFrame<'_>) -> Option<Bytes> {
        let opened = frame.open_with(&self.key.key).or_else(|| frame.open_with(self.previous.as_ref()?))?;
        self.senders.opened(sender);
        Some(opened)
    }

    /// Searches for the step ahead that opens a frame which the key did not open. If there is one, it becomes the key.
    pub(super) fn search(
        &mut self,
        sender: &str,
        frame: SealedFrame<'_>,
        window: u8,
        now: Instant,
    ) -> Attempt {
        let window = usize::from(window);
        if window == 0 || self.search.is_paused(now) || self.senders.is_paused(sender, now) {
            return Attempt::Failed;
        }
        if self.search.deriving {
            return Attempt::Wait;
        }
        let tried = match self.search.probe {
            Some((probe, tried)) if probe == *frame.iv => tried,
            _ => 0,
        };
        let found = self
            .search
            .steps
            .iter()
            .enumerate()
            .take(window)
            .skip(tried)
            .find_map(|(ahead, step)| frame.open_with(&step.key).map(|opened| (ahead, opened)));
        if let Some((ahead, opened)) = found {
            self.advance_to(ahead);
            self.senders.clear();
            return Attempt::Opened(opened);
        }
        if self.search.steps.len() < window {
            self.search.probe = Some((*frame.iv, self.search.steps.len()));
            self.search.deriving = true;
            return Attempt::AskForStep;
        }
        self.search.probe = None;
        self.senders.searched_in_vain(sender, now);
        Attempt::Failed
    }

    /// The base of a search's next step, if the search still needs one.
    pub(super) fn search_base(&self) -> Option<&DerivedKey> {
        self.search.deriving.then(|| self.search.steps.back().unwrap_or(&self.key))
    }

    /// Takes the step that a search requested.
    pub(super) fn handle_step(&mut self, step: Option<DerivedKey>, now: Instant) {
        if !std::mem::take(&mut self.search.deriving) {
            return;
        }
        match step {
            Some(step) => self.search.steps.push_back(step),
            None => self.search.give_up(now),
        }
    }

    /// The key one step ahead, if a search has derived it.
    pub(super) fn known_step(&self) -> Option<&DerivedKey> {
        self.search.steps.front()
    }

    /// The key, with the material of the next step.
    pub(super) const fn key(&self) -> &DerivedKey {
        &self.key
    }

    /// Replaces the key by the next step, because the application asked for it.
    pub(super) fn ratchet(&mut self, next: DerivedKey) {
        // The search's steps belong to the same chain: the first of them is `next`.
        self.search.steps.pop_front();
        self.replace(next);
        self.search.failed = None;
        self.senders.clear();
    }

    /// Counts a frame that failed for good. Returns whether the key is invalid for its sender now.
    pub(super) fn count_failure(&mut self, sender: &str, options: &KeyOptions) -> bool {
        self.senders.failed(sender);
        self.is_invalid(sender, options)
    }

    /// Whether more frames of a sender in a row failed than the options tolerate.
    pub(super) fn is_invalid(&self, sender: &str, options: &KeyOptions) -> bool {
        u32::try_from(options.failure_tolerance)
            .is_ok_and(|tolerance| self.senders.failures(sender) > tolerance)
    }

    fn advance_to(&mut self, ahead: usize) {
        // Only the step just before the new key is useful: late frames were sealed with it.
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
        self.failed.is_some_and(|then| now.saturating_duration_since(then) < SEARCH_PAUSE)
    }

    fn give_up(&mut self, now: Instant) {
        self.failed = Some(now);
        self.probe = None;
    }
}
