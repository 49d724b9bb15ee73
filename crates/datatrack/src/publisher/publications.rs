//! Publications: requested, answered and ended.

use super::track::{Track, TrackState};
use super::{
    Connection, Encryption, MAX_NAME_LEN, PublishError, PublishOptions, PublishRejection, Publisher,
    PublisherEvent, Slot, UnpublishedBy, slot_index,
};
use crate::info::TrackInfo;
use crate::packet::Handle;
use crate::schema;
use crate::stats::SendDrop;
use crate::time::Instant;

impl Publisher {
    /// Starts a publication. [`PublisherEvent::PublishRequest`] comes next. [`Published`](PublisherEvent::Published) or
    /// [`PublishFailed`](PublisherEvent::PublishFailed) follows.
    ///
    /// Errors that this side can detect are returned here, before anything is sent.
    pub fn publish(&mut self, options: PublishOptions, now: Instant) -> Result<Handle, PublishError> {
        if self.connection == Connection::Closed || self.finishing {
            return Err(PublishError::Disconnected);
        }
        if options.name.is_empty() || options.name.len() > MAX_NAME_LEN {
            return Err(PublishError::InvalidName);
        }
        if self.names.contains(&options.name) {
            return Err(PublishError::DuplicateName);
        }
        schema::validate(options.frame_encoding.as_ref(), options.schema.as_ref())?;
        if options.encrypted && matches!(self.encryption, Encryption::None) {
            return Err(PublishError::NoEncryption);
        }
        let handle = self.free_handle(now).ok_or(PublishError::LimitReached)?;
        let deadline = now + self.config.publish_timeout;
        self.expect_by(deadline);
        self.names.insert(options.name.clone());
        let mut track = Track::new(handle, options, deadline);
        if self.connection == Connection::Up {
            track.requested = true;
            self.events.push_back(PublisherEvent::PublishRequest(track.request()));
        }
        let track = Slot::Active(Box::new(track));
        match self.slots.get_mut(slot_index(handle)) {
            Some(slot) => *slot = track,
            None => self.slots.push(track),
        }
        Ok(handle)
    }

    /// A handle that was never used. If all were used: the handle whose publication ended first.
    fn free_handle(&mut self, now: Instant) -> Option<Handle> {
        self.spent.note_time(now);
        let unused = u16::try_from(self.slots.len() + 1).ok().and_then(Handle::new);
        if unused.is_some() {
            return unused;
        }
        let unsettled = &self.unsettled;
        let handle = self.spent.take(now, |handle| !unsettled.contains(&handle))?;
        self.turns.retain(|other| *other != handle);
        Some(handle)
    }

    /// Cancels a publication that the SFU has not answered. It ends with [`PublishError::Cancelled`]. If the publish
    /// request was sent, an unpublish request follows at once, so that a later request can use the name. A late answer
    /// is followed by another unpublish request. Does nothing for any other track.
    pub fn cancel_publish(&mut self, handle: Handle) {
        if let Some(&Track { state: TrackState::Pending { .. }, requested, .. }) = self.track(handle) {
            self.give_up(handle, PublishError::Cancelled);
            if requested {
                self.request_unpublish(handle);
            }
        }
    }

    /// Ends a publication. Queued frames are dropped; to keep them, flush first. Does nothing if it has ended.
    pub fn unpublish(&mut self, handle: Handle) {
        match self.track(handle).map(|track| &track.state) {
            None => {}
            Some(TrackState::Pending { .. }) => self.cancel_publish(handle),
            Some(TrackState::Published(_) | TrackState::Republishing { .. }) => {
                self.end(handle, SendDrop::Unpublished);
                self.request_unpublish(handle);
                self.events.push_back(PublisherEvent::Unpublished { handle, by: UnpublishedBy::Local });
            }
        }
    }

    /// Takes the SFU's `PublishDataTrackResponse`.
    pub fn handle_publish_response(&mut self, info: TrackInfo) {
        let handle = info.pub_handle;
        let Some(track) = self.track_mut(handle) else {
            // The publication was cancelled before the answer came, so the SFU must not keep it. A handle that was
            // never assigned is not this publisher's to end.
            if usize::from(handle.get()) <= self.slots.len() {
                self.request_unpublish(handle);
            }
            return;
        };
        if info.encryption != track.encryption() {
            return self.refuse_mismatch(handle);
        }
        let before = std::mem::replace(&mut track.state, TrackState::Published(info.clone()));
        match before {
            TrackState::Pending { .. } => {
                self.events.push_back(PublisherEvent::Published { handle, info });
            }
            TrackState::Republishing { .. } => {
                self.list(handle);
                self.events.push_back(PublisherEvent::Republished { handle, info });
            }
            TrackState::Published(old) if old.sid != info.sid => {
                self.events.push_back(PublisherEvent::Republished { handle, info });
            }
            // The same answer came twice.
            TrackState::Published(_) => {}
        }
    }

    /// The SFU rejected a publish request.
    pub fn handle_publish_rejected(&mut self, handle: Handle, rejection: PublishRejection) {
        let Some(track) = self.track_mut(handle) else {
            // The SFU did not accept the track, so there is nothing to end.
            self.unsettled.remove(&handle);
            return;
        };
        let first_time = match &mut track.state {
            TrackState::Published(_) => return,
            TrackState::Pending { handle_retried, .. } | TrackState::Republishing { handle_retried, .. } => {
                !std::mem::replace(handle_retried, true)
            }
        };
        if rejection == PublishRejection::DuplicateHandle && first_time {
            // The SFU has the track, but its answer was lost. End it there and request it again.
            let request = track.request();
            // While the connection is lost, nothing can be sent. The request is repeated when the connection is back.
            if self.connection == Connection::Up {
                self.events.push_back(PublisherEvent::UnpublishRequest { handle });
                self.events.push_back(PublisherEvent::PublishRequest(request));
            }
            return;
        }
        self.fail(handle, rejection.into());
    }

    /// Takes the SFU's `UnpublishDataTrackResponse`, whether it is an answer or comes on its own.
    pub fn handle_unpublish_response(&mut self, handle: Handle) {
        self.unsettled.remove(&handle);
        // While a publish request is pending, this answers the unpublish request that preceded it.
        if matches!(self.track(handle), Some(Track { state: TrackState::Published(_), .. })) {
            self.end(handle, SendDrop::Unpublished);
            self.events.push_back(PublisherEvent::Unpublished { handle, by: UnpublishedBy::Sfu });
        }
    }

    /// The SFU's answer for each published track, for the sync state when a connection is resumed.
    pub fn publish_responses_for_sync_state(&self) -> Vec<TrackInfo> {
        self.active()
            .filter_map(|track| match &track.state {
                TrackState::Published(info) => Some(info.clone()),
                _ => None,
            })
            .collect()
    }

    /// Ends a request that the SFU may still answer.
    pub(super) fn give_up(&mut self, handle: Handle, error: PublishError) {
        if self.track(handle).is_some_and(|track| track.requested) {
            self.unsettled.insert(handle);
        }
        self.fail(handle, error);
    }

    /// Tells the SFU that a track ended: now, and again when the connection is resumed if it has not answered by then.
    pub(super) fn request_unpublish(&mut self, handle: Handle) {
        if self.connection == Connection::Closed {
            return;
        }
        self.unsettled.insert(handle);
        if self.connection == Connection::Up {
            self.events.push_back(PublisherEvent::UnpublishRequest { handle });
        }
    }

    /// A publish request failed.
    fn fail(&mut self, handle: Handle, error: PublishError) {
        let Some(track) = self.track(handle) else { return };
        let pending = matches!(track.state, TrackState::Pending { .. });
        self.end(handle, SendDrop::Unpublished);
        self.events.push_back(if pending {
            PublisherEvent::PublishFailed { handle, error }
        } else {
            PublisherEvent::Unpublished { handle, by: UnpublishedBy::RepublishFailed(error) }
        });
    }

    /// Ends a track whose encryption, as the SFU confirmed it, differs from the requested one. Nothing is ever sent on
    /// it.
    fn refuse_mismatch(&mut self, handle: Handle) {
        let was_published =
            self.track(handle).is_some_and(|track| matches!(track.state, TrackState::Published(_)));
        if was_published {
            self.end(handle, SendDrop::Unpublished);
            let by = UnpublishedBy::RepublishFailed(PublishError::EncryptionMismatch);
            self.events.push_back(PublisherEvent::Unpublished { handle, by });
        } else {
            self.fail(handle, PublishError::EncryptionMismatch);
        }
        self.request_unpublish(handle);
    }

    pub(super) fn end(&mut self, handle: Handle, reason: SendDrop) {
        let Some(slot) = self.slots.get_mut(slot_index(handle)) else { return };
        let ended = Slot::Ended(Box::default());
        if let Slot::Active(track) = std::mem::replace(slot, ended) {
            self.names.remove(&track.options.name);
            *slot = Slot::Ended(Box::new(track.end(reason)));
            self.spent.push(handle);
        }
    }
}
