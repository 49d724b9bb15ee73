//! The last frame of a latched track, in its place among the live frames of a stream.
//!
//! The caller fetches that frame from the publisher, by a way of its own. It travels beside the live frames, so a live
//! frame may arrive a second time or too late.

use std::time::Duration;

use super::stream::{Frame, Stream};
use super::{StreamId, Subscriber, SubscriberEvent, TrackId};
use crate::stats::StreamDrop;
use crate::time::Instant;

/// How long after the latched frame an older live frame may still arrive. A publisher's queue may hold frames that
/// were pushed before.
const LATE: Duration = Duration::from_secs(10);

/// So many frames after the latched one, none of the older ones is still expected.
const LATE_FRAMES: i16 = 1_024;

/// What tells a frame of a track from the others: its number, and its timestamp because numbers repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FrameId {
    number: u16,
    timestamp: u32,
}

impl FrameId {
    const fn of(frame: &Frame) -> Self {
        Self { number: frame.number, timestamp: frame.timestamp }
    }

    /// How many frames this one is ahead of another, modulo 2¹⁶.
    const fn ahead_of(self, other: Self) -> i16 {
        self.number.wrapping_sub(other.number).cast_signed()
    }
}

/// The state of a stream that wants the latched frame first.
#[derive(Debug)]
pub(super) struct Latest {
    /// Whether the first answer is awaited. Live frames wait behind it.
    awaited: bool,
    /// The newest frame of the stream.
    newest: Option<FrameId>,
    /// Whether the track has a new handle since. Then frame numbers may have started again.
    restarted: bool,
    /// The last latched frame of the stream.
    latched: Option<FrameId>,
    /// Until then, live frames that are older than `latched` may arrive.
    late_until: Option<Instant>,
}

impl Latest {
    /// The state of a new stream, if it wants the latched frame.
    pub(super) fn if_wanted(wanted: bool) -> Option<Box<Self>> {
        let new = Self { awaited: true, newest: None, restarted: false, latched: None, late_until: None };
        wanted.then(|| Box::new(new))
    }

    /// Whether a live frame is the latched one or older. Otherwise the frame is noted.
    pub(super) fn is_late(&mut self, frame: &Frame, now: Instant) -> bool {
        let id = FrameId::of(frame);
        if self.latched == Some(id) {
            return true;
        }
        if let (Some(latched), Some(until)) = (self.latched, self.late_until) {
            let ahead = id.ahead_of(latched);
            if now >= until || ahead > LATE_FRAMES {
                self.late_until = None;
            } else if ahead < 0 {
                return true;
            }
        }
        if self.restarted || self.newest.is_none_or(|newest| id.ahead_of(newest) > 0) {
            self.newest = Some(id);
            self.restarted = false;
        }
        false
    }

    /// Whether the stream lacks a latched frame. If so, the frame is noted.
    fn accepts(&mut self, frame: &Frame, first: bool, now: Instant) -> bool {
        let id = FrameId::of(frame);
        let newer = match self.newest {
            // A live frame that is newer does not make the first latched frame superfluous.
            _ if first => true,
            None => true,
            Some(newest) if newest == id => false,
            Some(newest) => self.restarted || id.ahead_of(newest) > 0,
        };
        if newer {
            if self.restarted || self.newest.is_none_or(|newest| id.ahead_of(newest) > 0) {
                self.newest = Some(id);
            }
            self.restarted = false;
            self.latched = Some(id);
            self.late_until = Some(now + LATE);
        }
        newer
    }
}

impl Stream {
    /// Whether live frames wait for the latched one.
    #[inline]
    pub(super) fn awaits_latest(&self) -> bool {
        self.latest.as_ref().is_some_and(|latest| latest.awaited)
    }

    /// No latched frame comes first.
    fn stop_awaiting(&mut self) {
        if let Some(latest) = &mut self.latest {
            latest.awaited = false;
        }
    }

    fn provide(&mut self, frame: Frame, now: Instant) {
        let first = self.awaits_latest();
        self.stop_awaiting();
        let Some(latest) = &mut self.latest else { return };
        if !latest.accepts(&frame, first, now) {
            return;
        }
        if first {
            self.drop_not_newer(&frame);
        }
        self.push_latched(frame, first, now);
    }

    /// Drops the live frames that are the latched one or older.
    fn drop_not_newer(&mut self, latched: &Frame) {
        let latched = FrameId::of(latched);
        let before = self.frames.len();
        self.frames.retain(|frame| FrameId::of(frame).ahead_of(latched) > 0);
        self.bytes = self.frames.iter().map(|frame| frame.payload.kept_bytes()).sum();
        self.stats.dropped.add(StreamDrop::Superseded, (before - self.frames.len()) as u64);
    }
}

impl Subscriber {
    /// Answers [`SubscriberEvent::LatestWanted`] with the last frame that the publisher keeps, or `None`.
    ///
    /// The first answer is the stream's first frame. Live frames that are the same frame or older are dropped. A later
    /// answer, after an interruption, is delivered if the stream has no frame that is newer.
    pub fn provide_latest(&mut self, stream: StreamId, frame: Option<Frame>, now: Instant) {
        let Some(state) = self.streams.get_mut(&stream) else { return };
        match frame {
            Some(frame) => state.provide(Frame { latched: true, ..frame }, now),
            None => state.stop_awaiting(),
        }
        self.list_if_wanted(stream);
    }

    /// The stream ends, so its live frames wait no longer.
    pub(super) fn release_live_frames(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get_mut(&stream)
            && state.awaits_latest()
        {
            state.stop_awaiting();
            self.list_if_wanted(stream);
        }
    }

    fn list_if_wanted(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get_mut(&stream)
            && state.wanted
            && state.is_readable()
            && !state.listed
        {
            state.listed = true;
            self.readable.push_back(stream);
        }
    }

    /// Frames may have been missed, so the streams of a track that want the latched frame want it again.
    pub(super) fn want_latest(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(&id) else { return };
        for &stream in &track.streams {
            if self.streams.get(&stream).is_some_and(|state| state.latest.is_some() && state.subscribed) {
                self.events.push_back(SubscriberEvent::LatestWanted { stream, track: id });
            }
        }
    }

    /// The track has a handle of a new table, so its frame numbers may start again.
    pub(super) fn note_restart(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(&id) else { return };
        for stream in &track.streams {
            if let Some(latest) = self.streams.get_mut(stream).and_then(|state| state.latest.as_mut()) {
                latest.restarted = true;
                latest.late_until = None;
            }
        }
    }
}
