//! Opening and closing streams, and the requests to the SFU that follow.

use std::collections::HashSet;

use super::stream::Stream;
use super::track::{Asked, Permission, Subscription};
use super::{
    Connection, Encryption, StreamId, SubscribeError, SubscribeOptions, Subscriber, SubscriberEvent, TrackId,
};
use crate::info::{EncryptionType, TrackSid};
use crate::stats::StreamStats;
use crate::time::Instant;

/// How many times as long as usual a stream waits before it is refused, where the SFU's answer may have been lost: it is
/// asked for meanwhile.
const DOUBT: u32 = 3;

impl Subscriber {
    /// Opens a stream. A track's first stream sends a request to the SFU. [`SubscriberEvent::Subscribed`] or
    /// [`SubscriberEvent::StreamEnded`] follows. The stream gets the frames that arrive from then on.
    pub fn subscribe(
        &mut self,
        track: TrackId,
        stream: StreamId,
        options: SubscribeOptions,
        now: Instant,
    ) -> Result<(), SubscribeError> {
        if self.connection == Connection::Closed {
            return Err(SubscribeError::Disconnected);
        }
        if self.streams.contains_key(&stream) {
            return Err(SubscribeError::StreamExists);
        }
        let Some(state) = self.tracks.get_mut(&track) else { return Err(SubscribeError::Unpublished) };
        match (state.info.encryption, &self.encryption) {
            (EncryptionType::Gcm, Encryption::None) => return Err(SubscribeError::Encrypted),
            (EncryptionType::None, Encryption::Native(_) | Encryption::Custom)
                if !options.allow_unencrypted =>
            {
                return Err(SubscribeError::Unencrypted);
            }
            _ => {}
        }
        let denied = !self.allowed || state.permission == Permission::Refused;
        if denied && state.subscription == Subscription::None {
            return Err(SubscribeError::NotAllowed);
        }
        let fps_before = self.target_fps(track);
        let Some(state) = self.tracks.get_mut(&track) else { return Err(SubscribeError::Unpublished) };
        state.streams.push(stream);
        let subscription = state.subscription;
        self.streams.insert(stream, Stream::new(track, options));
        match subscription {
            Subscription::None => {
                state.end_when_answered = false;
                if state.doubted {
                    let until = now + DOUBT * self.config.permission_grace;
                    state.permission = Permission::Denied { until };
                    self.expect_by(until);
                }
                self.set_pending(track, false, now);
                self.tell_subscription(track, true);
            }
            Subscription::Pending { .. } | Subscription::Active => {
                if self.target_fps(track) != fps_before {
                    self.tell_subscription(track, true);
                }
                if subscription == Subscription::Active {
                    self.tell_subscribed(track);
                }
            }
        }
        Ok(())
    }

    /// Closes a stream. Closing a track's last stream ends the subscription. Unread frames are dropped. Returns the
    /// stream's last counters, or `None` if there is no such stream.
    pub fn unsubscribe(&mut self, stream: StreamId) -> Option<StreamStats> {
        let id = self.streams.get(&stream)?.track;
        let fps_before = self.target_fps(id);
        let state = self.streams.remove(&stream)?;
        if state.listed {
            self.readable.retain(|other| *other != stream);
        }
        if let Some(track) = self.tracks.get_mut(&id)
            && let Some(index) = track.streams.iter().position(|other| *other == stream)
        {
            track.streams.swap_remove(index);
            if track.streams.is_empty() {
                track.forget_partial_frames();
                let before = std::mem::replace(&mut track.subscription, Subscription::None);
                match before {
                    Subscription::None => {}
                    // The SFU still holds the request, and says when it is permitted.
                    Subscription::Pending { .. }
                        if track.permission != Permission::Granted && !track.doubted =>
                    {
                        track.permission = Permission::Refused;
                    }
                    Subscription::Pending { .. } => {
                        track.permission = Permission::Granted;
                        track.end_when_answered = true;
                    }
                    Subscription::Active => self.tell_subscription(id, false),
                }
            } else if self.target_fps(id) != fps_before {
                self.tell_subscription(id, true);
            }
        }
        Some(state.close())
    }

    /// The request for a subscription was sent. Only used with
    /// [`paced_requests`](super::SubscriberConfig::paced_requests). The SFU's time to answer starts now. Does nothing
    /// for a request that is repeated or no longer needed.
    pub fn handle_subscription_sent(&mut self, sid: &TrackSid, now: Instant) {
        let Some(&id) = self.by_sid.get(sid) else { return };
        let waits = self.tracks.get(&id).map(|track| track.subscription);
        if let Some(Subscription::Pending { asked: None, renewed }) = waits {
            self.begin_to_wait(id, renewed, now);
        }
    }

    /// Sets whether this participant may subscribe. Initially it may. Without that permission, livekit-server answers
    /// no request, but still forwards the tracks whose requests it answered before. Streams that wait for an answer end
    /// with [`SubscribeError::NotAllowed`]. Other streams continue.
    pub fn handle_subscribing_allowed(&mut self, allowed: bool) {
        self.allowed = allowed;
        if allowed {
            return;
        }
        for id in self.subscribed_tracks() {
            if self.tracks.get(&id).is_some_and(|track| track.subscription != Subscription::Active) {
                self.refuse(id, SubscribeError::NotAllowed);
            }
        }
    }

    /// Handles the SFU's `SubscriptionPermissionUpdate`: whether the publisher of a track lets this participant
    /// subscribe to it. If not, the track's streams end with [`SubscribeError::NotAllowed`]: at once if the SFU has
    /// forwarded the track before, else after [`permission_grace`](super::SubscriberConfig::permission_grace). Until
    /// the SFU says that the track may be subscribed to, further streams are refused.
    pub fn handle_subscription_permission(&mut self, sid: &TrackSid, allowed: bool, now: Instant) {
        let Some(&id) = self.by_sid.get(sid) else { return };
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let before = track.permission;
        track.doubted = false;
        if allowed {
            track.permission = Permission::Granted;
            match before {
                // The SFU begins to forward the track, but nothing reads it.
                Permission::Refused => track.end_when_answered = track.streams.is_empty(),
                Permission::Denied { .. } => self.await_answer(id, now),
                Permission::Granted => {}
            }
            return;
        }
        if track.streams.is_empty() || before != Permission::Granted {
            return;
        }
        let revoked = track.assignment.as_ref().is_some_and(|assignment| assignment.sid == track.info.sid);
        if revoked {
            self.deny(id);
        } else {
            let until = now + self.config.permission_grace;
            track.permission = Permission::Denied { until };
            self.expect_by(until);
        }
    }

    /// The publisher does not permit the subscription. The request stays with the SFU.
    pub(super) fn deny(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.permission = if track.doubted { Permission::Granted } else { Permission::Refused };
        track.end_when_answered = track.doubted;
        self.end_streams(id, SubscribeError::NotAllowed);
    }

    /// Asks the SFU once more for a track that has streams.
    pub(super) fn ask(&mut self, id: TrackId, now: Instant) {
        self.set_pending(id, self.is_renewed(id), now);
        self.tell_subscription(id, true);
    }

    /// Restarts the SFU's time to answer, without another request.
    pub(super) fn await_answer(&mut self, id: TrackId, now: Instant) {
        self.begin_to_wait(id, self.is_renewed(id), now);
    }

    /// Whether frames have arrived before, that is, whether this is not the first subscription.
    fn is_renewed(&self, id: TrackId) -> bool {
        let subscription = self.tracks.get(&id).map(|track| track.subscription);
        !matches!(subscription, Some(Subscription::Pending { renewed: false, .. }))
    }

    /// The SFU is asked as soon as it is the request's turn.
    fn set_pending(&mut self, id: TrackId, renewed: bool, now: Instant) {
        if !self.config.paced_requests {
            return self.begin_to_wait(id, renewed, now);
        }
        if let Some(track) = self.tracks.get_mut(&id) {
            track.subscription = Subscription::Pending { asked: None, renewed };
        }
    }

    fn begin_to_wait(&mut self, id: TrackId, renewed: bool, now: Instant) {
        let again_at = now + self.config.subscribe_retry;
        if let Some(track) = self.tracks.get_mut(&id) {
            track.subscription = Subscription::Pending {
                asked: Some(Asked { since: now, again_at, repeated: false }),
                renewed,
            };
        }
        self.expect_by(again_at.min(now + self.config.subscribe_timeout));
    }

    /// The SFU forwards the track. Ends the subscription if no stream has needed it since before this answer.
    pub(super) fn end_if_unneeded(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if std::mem::take(&mut track.end_when_answered) && track.streams.is_empty() {
            self.tell_subscription(id, false);
        }
    }

    /// Whether the SFU forwards all the tracks whose requests it has not answered: as many packets' handles are unknown.
    /// Then the answers were lost. Otherwise it may have lost requests, or be slow.
    pub(super) fn answers_were_lost(&self) -> bool {
        let waiting = self.tracks.values().filter(|track| track.waits()).count();
        let unclaimed = self.unclaimed.values().collect::<HashSet<_>>();
        let unknown =
            self.early.handles().filter(|handle| !unclaimed.contains(handle)).collect::<HashSet<_>>();
        unknown.len() >= waiting
    }

    /// The SFU has answered.
    pub(super) fn activate(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if std::mem::take(&mut track.doubted) {
            track.permission = Permission::Granted;
        }
        if matches!(track.subscription, Subscription::Pending { .. }) {
            track.subscription = Subscription::Active;
            // Streams that are told for the first time want the latched frame for the first time.
            self.want_latest(id);
            self.tell_subscribed(id);
        }
    }

    /// Tells each stream of a track once that frames can arrive.
    fn tell_subscribed(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(&id) else { return };
        for &stream in &track.streams {
            if let Some(state) = self.streams.get_mut(&stream)
                && !std::mem::replace(&mut state.subscribed, true)
            {
                self.events.push_back(SubscriberEvent::Subscribed { stream });
                if state.latest.is_some() {
                    self.events.push_back(SubscriberEvent::LatestWanted { stream, track: id });
                }
            }
        }
    }

    pub(super) fn give_up(&mut self, id: TrackId, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if matches!(track.subscription, Subscription::Pending { renewed: true, .. }) {
            return self.ask(id, now);
        }
        self.refuse(id, SubscribeError::Timeout);
    }

    /// Ends the subscription of a track, and all its streams.
    fn refuse(&mut self, id: TrackId, error: SubscribeError) {
        if self.tracks.get(&id).is_none_or(|track| track.streams.is_empty()) {
            return;
        }
        self.end_streams(id, error);
        if let Some(track) = self.tracks.get_mut(&id) {
            track.end_when_answered = true;
        }
    }

    fn end_streams(&mut self, id: TrackId, error: SubscribeError) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.subscription = Subscription::None;
        track.forget_partial_frames();
        for stream in std::mem::take(&mut track.streams) {
            self.end_stream(stream, Some(error));
        }
    }

    /// The SFU may have said something else about permissions meanwhile. Subscriptions that it still holds requests for,
    /// and that have no streams, end when it answers. Streams that wait for a permission wait anew.
    pub(super) fn renew_permissions(&mut self, now: Instant) {
        let until = now + self.config.permission_grace;
        let mut waits = false;
        for track in self.tracks.values_mut() {
            match track.permission {
                Permission::Granted => {}
                Permission::Denied { .. } => {
                    track.permission = Permission::Denied { until };
                    waits = true;
                }
                Permission::Refused => {
                    track.permission = Permission::Granted;
                    track.end_when_answered = true;
                    track.doubted = true;
                }
            }
        }
        if waits {
            self.expect_by(until);
        }
    }

    pub(super) fn end_stream(&mut self, stream: StreamId, error: Option<SubscribeError>) {
        if let Some(state) = self.streams.get_mut(&stream)
            && !std::mem::replace(&mut state.ended, true)
        {
            self.events.push_back(SubscriberEvent::StreamEnded { stream, error });
            self.release_live_frames(stream);
        }
    }

    pub(super) fn tell_subscription(&mut self, track: TrackId, subscribe: bool) {
        // When the connection is back, each subscription is sent again.
        if self.connection != Connection::Up {
            return;
        }
        let target_fps = self.target_fps(track);
        if let Some(track) = self.tracks.get(&track) {
            let sid = track.info.sid.clone();
            self.events.push_back(SubscriberEvent::UpdateSubscription { sid, subscribe, target_fps });
        }
    }

    /// The frame rate that a track's streams ask for together, in frames a second. 0: all frames.
    fn target_fps(&self, track: TrackId) -> u32 {
        let Some(track) = self.tracks.get(&track) else { return 0 };
        let wanted = track.streams.iter().filter_map(|stream| self.streams.get(stream));
        let rates = wanted.map(|stream| stream.options.target_fps).collect::<Vec<_>>();
        if rates.contains(&0) { 0 } else { rates.into_iter().max().unwrap_or(0) }
    }

    pub(super) fn subscribed_tracks(&self) -> Vec<TrackId> {
        let mut tracks = self
            .tracks
            .values()
            .filter(|track| !track.streams.is_empty())
            .map(|track| track.id)
            .collect::<Vec<_>>();
        tracks.sort_unstable();
        tracks
    }
}
