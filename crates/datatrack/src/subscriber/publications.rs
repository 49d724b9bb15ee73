//! What others publish: the SFU's lists of it, and the tracks that are kept for them.

use std::sync::Arc;

use super::track::{Subscription, Track};
use super::{Connection, MAX_TRACKS, SubscribeError, Subscriber, SubscriberEvent, TrackId};
use crate::info::TrackInfo;
use crate::stats::FrameDrop;
use crate::time::Instant;

impl Subscriber {
    /// All that a publisher publishes now. What it published before and is not in the list is unpublished; other
    /// publishers are untouched.
    pub fn handle_publication_update(&mut self, publisher: &str, infos: Vec<TrackInfo>, now: Instant) {
        if self.connection == Connection::Closed {
            return;
        }
        let publisher: Arc<str> = self
            .by_publisher
            .get_key_value(publisher)
            .map_or_else(|| publisher.into(), |(identity, _)| identity.clone());
        let mut missing = self.by_publisher.get(&publisher).cloned().unwrap_or_default();
        let mut fresh = Vec::new();
        // Those under a SID that we know first: a new SID may only take over what none of them claims.
        for info in infos {
            match self.by_sid.get(&info.sid) {
                Some(id) => missing.retain(|other| other != id),
                None => fresh.push(info),
            }
        }
        for info in fresh {
            if self.by_sid.contains_key(&info.sid) {
                continue;
            }
            let continued = missing
                .iter()
                .position(|id| self.tracks.get(id).is_some_and(|track| track.is_continued_by(&info)));
            if let Some(index) = continued {
                let id = missing.swap_remove(index);
                self.change_sid(id, info, now);
            } else {
                self.add_track(publisher.clone(), info, now);
            }
        }
        for id in missing {
            self.remove_track(id);
        }
        if !self.by_publisher.contains_key(&publisher) {
            self.errors.forget(&publisher);
        }
    }

    fn add_track(&mut self, publisher: Arc<str>, info: TrackInfo, now: Instant) {
        if self.tracks.len() >= MAX_TRACKS {
            return;
        }
        let id = loop {
            let id = TrackId(self.next_track);
            self.next_track = self.next_track.wrapping_add(1);
            if !self.tracks.contains_key(&id) {
                break id;
            }
        };
        let sid = info.sid.clone();
        self.by_sid.insert(sid.clone(), id);
        self.by_publisher.entry(publisher.clone()).or_default().push(id);
        self.tracks.insert(id, Box::new(Track::new(id, publisher.clone(), info.clone())));
        self.events.push_back(SubscriberEvent::TrackPublished { track: id, publisher, info });
        self.claim_handle(&sid, id, now);
    }

    fn change_sid(&mut self, id: TrackId, info: TrackInfo, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let sid = info.sid.clone();
        self.by_sid.remove(&track.info.sid);
        self.by_sid.insert(sid.clone(), id);
        track.info = info.clone();
        self.events.push_back(SubscriberEvent::TrackUpdated { track: id, info });
        if !track.streams.is_empty() {
            self.ask(id, now);
        }
        self.claim_handle(&sid, id, now);
    }

    fn remove_track(&mut self, id: TrackId) {
        let Some(mut track) = self.tracks.remove(&id) else { return };
        self.by_sid.remove(&track.info.sid);
        if let Some(siblings) = self.by_publisher.get_mut(&track.publisher) {
            siblings.retain(|sibling| *sibling != id);
            if siblings.is_empty() {
                self.by_publisher.remove(&track.publisher);
            }
        }
        track.drop_sealed(FrameDrop::Ended);
        if let Some(handle) = track.end_assignment() {
            self.clear_route(handle, id);
        }
        let error = match track.subscription {
            Subscription::Pending { renewed: false, .. } => Some(SubscribeError::Unpublished),
            _ => None,
        };
        for stream in std::mem::take(&mut track.streams) {
            self.end_stream(stream, error);
        }
        let stats = track.stats();
        let Track { publisher, info, .. } = *track;
        self.events.push_back(SubscriberEvent::TrackUnpublished {
            track: id,
            publisher,
            sid: info.sid,
            stats,
        });
    }
}
