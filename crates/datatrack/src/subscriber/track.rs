use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{StreamId, TrackId};
use crate::depacketizer::{Depacketizer, DepacketizerOptions};
use crate::frame::AssembledFrame;
use crate::info::{TrackInfo, TrackSid};
use crate::packet::Handle;
use crate::stats::{FrameDrop, FrameDrops, FrameStats};
use crate::time::Instant;

/// A track of a remote participant, and the subscription to it.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) publisher: Arc<str>,
    pub(super) info: TrackInfo,
    pub(super) subscription: Subscription,
    pub(super) permission: Permission,
    /// The SFU may hold a request that no stream needs any more. When the SFU answers, the subscription is ended.
    /// livekit-server 1.13.5 hangs if it is to end a subscription that it has not begun.
    pub(super) end_when_answered: bool,
    /// The SFU refused the track, and the connection was lost since. The SFU does not repeat what it said of permissions.
    /// So the next stream asks, and is refused if no answer comes.
    pub(super) doubted: bool,
    pub(super) streams: Vec<StreamId>,
    pub(super) pipeline: DepacketizerOptions,
    pub(super) assignment: Option<Assignment>,
    pub(super) sealed: SealedFrames,
    /// Counters of the assignments that have ended.
    ended: FrameStats,
    pub(super) completed: u64,
    pub(super) dropped: FrameDrops,
}

/// The handle of the track's packets, with the state that belongs to it.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) handle: Handle,
    /// The track's SID when the handle was assigned.
    pub(super) sid: TrackSid,
    /// Whether the SFU's last table contains it.
    pub(super) named: bool,
    pub(super) depacketizer: Depacketizer,
}

/// When the SFU was asked, and when it is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) since: Instant,
    pub(super) again_at: Instant,
    /// Whether it has been asked again.
    pub(super) repeated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subscription {
    None,
    /// The SFU has to answer. `asked`: since when; `None` while the request waits for its turn. `renewed`: frames had
    /// arrived before, so a late answer is requested once more instead of ending the subscription.
    Pending {
        asked: Option<Asked>,
        renewed: bool,
    },
    Active,
}

/// Whether the publisher permits the subscription, as far as the SFU has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    Granted,
    /// It does not. The streams wait until then for another answer.
    Denied {
        until: Instant,
    },
    /// It does not, and the streams have ended. The SFU still holds the request, and says when it is permitted.
    Refused,
}

/// What to do about a subscription that the SFU has not answered.
pub(super) enum Unanswered {
    /// Nothing, until that time.
    Wait(Instant),
    /// Ask again, and wait until that time.
    Ask(Instant),
    /// The same, for at least the second time.
    AskOften(Instant),
    GiveUp,
}

impl Track {
    /// Whether the SFU may hold a request that it has not answered.
    pub(super) fn waits(&self) -> bool {
        let asked = matches!(self.subscription, Subscription::Pending { .. });
        self.end_when_answered || asked && (self.doubted || self.permission == Permission::Granted)
    }
}

impl Subscription {
    /// Returns `None` if the track waits for no answer.
    pub(super) fn handle_timeout(&mut self, timeout: Duration, now: Instant) -> Option<Unanswered> {
        let Self::Pending { asked: Some(asked), .. } = self else { return None };
        let deadline = asked.since + timeout;
        if deadline <= now {
            return Some(Unanswered::GiveUp);
        }
        if asked.again_at > now {
            return Some(Unanswered::Wait(deadline.min(asked.again_at)));
        }
        // Each wait is twice as long as the one before.
        asked.again_at = now + now.saturating_duration_since(asked.since);
        let due = deadline.min(asked.again_at);
        if std::mem::replace(&mut asked.repeated, true) {
            return Some(Unanswered::AskOften(due));
        }
        Some(Unanswered::Ask(due))
    }
}

/// Complete frames that wait for a key; bounded in number, bytes and age.
#[derive(Debug, Default)]
pub(super) struct SealedFrames {
    frames: VecDeque<SealedFrame>,
    /// Memory of the frames, in bytes.
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct SealedFrame {
    pub(super) frame: AssembledFrame,
    pub(super) completed_at: Instant,
}

impl Track {
    pub(super) fn new(id: TrackId, publisher: Arc<str>, info: TrackInfo) -> Self {
        Self {
            id,
            publisher,
            info,
            subscription: Subscription::None,
            permission: Permission::Granted,
            end_when_answered: false,
            doubted: false,
            streams: Vec::new(),
            pipeline: DepacketizerOptions::default(),
            assignment: None,
            sealed: SealedFrames::default(),
            ended: FrameStats::default(),
            completed: 0,
            dropped: FrameDrops::default(),
        }
    }

    /// Packets come under `handle` from now on. The same handle again changes nothing, unless the SID differs: then the
    /// publisher's session was rebuilt, and its frame numbers start again. Returns whether something has changed.
    pub(super) fn assign(&mut self, handle: Handle) -> bool {
        match &mut self.assignment {
            Some(assignment) if assignment.handle == handle && assignment.sid == self.info.sid => {
                assignment.named = true;
                false
            }
            _ => {
                self.end_assignment();
                let sid = self.info.sid.clone();
                let depacketizer = Depacketizer::new(self.pipeline);
                self.assignment = Some(Assignment { handle, sid, named: true, depacketizer });
                true
            }
        }
    }

    /// Ends the state that belongs to the handle, and returns the handle. The counters remain.
    pub(super) fn end_assignment(&mut self) -> Option<Handle> {
        let Assignment { handle, depacketizer, .. } = self.assignment.take()?;
        self.end_depacketizer(depacketizer);
        Some(handle)
    }

    fn end_depacketizer(&mut self, mut depacketizer: Depacketizer) {
        depacketizer.close();
        let stats = depacketizer.stats();
        self.ended.opened += stats.opened;
        self.ended.dropped.merge(&stats.dropped);
    }

    /// The last stream was closed, so partial frames will never be completed. The handle still belongs to the track.
    pub(super) fn forget_partial_frames(&mut self) {
        self.drop_sealed(FrameDrop::Ended);
        if let Some(assignment) = &mut self.assignment {
            let fresh = Depacketizer::new(self.pipeline);
            let depacketizer = std::mem::replace(&mut assignment.depacketizer, fresh);
            self.end_depacketizer(depacketizer);
        }
    }

    pub(super) fn drop_sealed(&mut self, reason: FrameDrop) {
        self.dropped.add(reason, self.sealed.frames.len() as u64);
        self.sealed = SealedFrames::default();
    }

    pub(super) fn stats(&self) -> FrameStats {
        let mut stats = self.ended;
        stats.dropped.merge(&self.dropped);
        if let Some(assignment) = &self.assignment {
            let current = assignment.depacketizer.stats();
            stats.opened += current.opened;
            stats.dropped.merge(&current.dropped);
            stats.open += current.open;
        }
        stats.completed = self.completed;
        stats.open += self.sealed.frames.len() as u64;
        stats
    }
}

impl SealedFrames {
    /// Most frames that a track holds.
    const MAX_FRAMES: usize = 256;
    /// Most bytes of memory that a track holds, unless a single frame is larger.
    const MAX_BYTES: usize = 1 << 20;
    /// How long a frame is held. A derivation takes some 30 ms, a ratchet window of 16 half a second.
    const MAX_AGE: Duration = Duration::from_secs(2);

    /// Holds a frame. Returns how many older frames were dropped.
    #[must_use]
    pub(super) fn push(&mut self, frame: AssembledFrame, completed_at: Instant) -> u64 {
        let mut dropped = 0;
        let len = frame.payload.kept_bytes();
        while self.frames.len() >= Self::MAX_FRAMES
            || (self.bytes + len > Self::MAX_BYTES && !self.frames.is_empty())
        {
            self.pop();
            dropped += 1;
        }
        self.bytes += len;
        self.frames.push_back(SealedFrame { frame, completed_at });
        dropped
    }

    fn pop(&mut self) -> Option<SealedFrame> {
        let sealed = self.frames.pop_front()?;
        self.bytes -= sealed.frame.payload.kept_bytes();
        Some(sealed)
    }

    /// Takes all held frames out, to try them again.
    pub(super) fn take(&mut self) -> Vec<SealedFrame> {
        std::mem::take(self).frames.into()
    }

    /// Drops frames that are too old. Returns how many, and the key index of the last one.
    #[must_use]
    pub(super) fn expire(&mut self, now: Instant) -> (u64, u8) {
        let (mut dropped, mut key_index) = (0, 0);
        while self.poll_timeout().is_some_and(|deadline| deadline <= now)
            && let Some(sealed) = self.pop()
        {
            dropped += 1;
            key_index = sealed.frame.extensions.e2ee.map_or(key_index, |extension| extension.key_index);
        }
        (dropped, key_index)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.frames.front().map(|oldest| oldest.completed_at + Self::MAX_AGE)
    }
}
