//! Remote tracks: the SFU's lists of them, and the state that is kept for them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::track::{Permission, Subscription, Track};
use super::{Connection, MAX_TRACKS, SubscribeError, Subscriber, SubscriberEvent, TrackId};
use crate::info::{EncryptionType, TrackInfo};
use crate::packet::Handle;
use crate::schema::{FrameEncoding, SchemaId};
use crate::stats::FrameDrop;
use crate::time::Instant;

/// What a track keeps when its SID changes.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Continuity {
    pub_handle: Handle,
    name: Arc<str>,
    encryption: EncryptionType,
    frame_encoding: Option<FrameEncoding>,
    schema: Option<SchemaId>,
}

impl Continuity {
    fn of(info: &TrackInfo) -> Self {
        let TrackInfo { pub_handle, sid: _, name, encryption, frame_encoding, schema } = info;
        Self {
            pub_handle: *pub_handle,
            name: name.clone(),
            encryption: *encryption,
            frame_encoding: frame_encoding.clone(),
            schema: schema.clone(),
        }
    }
}

impl Subscriber {
    /// Takes the list of all tracks that a publisher has now. A track of this publisher that is not in the list has
    /// ended. Tracks of other publishers stay unchanged.
    pub fn handle_publication_update(&mut self, publisher: &str, infos: Vec<TrackInfo>, now: Instant) {
        if self.connection == Connection::Closed {
            return;
        }
        let publisher: Arc<str> = self
            .by_publisher
            .get_key_value(publisher)
            .map_or_else(|| publisher.into(), |(identity, _)| identity.clone());
        let siblings = self.by_publisher.get(&publisher).cloned().unwrap_or_default();
        // A server may list as many tracks as there are handles, so no step may search all of them for each one.
        let mut missing: HashSet<TrackId> = siblings.iter().copied().collect();
        let mut fresh = Vec::new();
        // Tracks with a known SID come first. A new SID may only take over a track that none of them claims.
        for info in infos {
            match self.by_sid.get(&info.sid) {
                Some(id) => drop(missing.remove(id)),
                None => fresh.push(info),
            }
        }
        let mut claimed = false;
        let mut continuable = self.continuable(&siblings, &missing);
        for info in fresh {
            if self.by_sid.contains_key(&info.sid) {
                continue;
            }
            claimed |= self.unclaimed.contains_key(&info.sid);
            let continued = continuable.get_mut(&Continuity::of(&info)).and_then(VecDeque::pop_front);
            if let Some(id) = continued {
                missing.remove(&id);
                self.change_sid(id, info, now);
            } else {
                self.add_track(publisher.clone(), info);
            }
        }
        if claimed {
            self.replay_early(now);
        }
        for id in siblings.iter().filter(|id| missing.contains(id)) {
            self.remove_track(*id);
        }
        if let Some(siblings) = self.by_publisher.get_mut(&publisher) {
            siblings.retain(|sibling| !missing.contains(sibling));
            if siblings.is_empty() {
                self.by_publisher.remove(&publisher);
            }
        }
        if !self.by_publisher.contains_key(&publisher) {
            self.errors.forget(&publisher);
        }
    }

    /// Tracks that a new SID may take over, keyed by what must be equal.
    fn continuable(
        &self,
        siblings: &[TrackId],
        missing: &HashSet<TrackId>,
    ) -> HashMap<Continuity, VecDeque<TrackId>> {
        let mut tracks = HashMap::<Continuity, VecDeque<TrackId>>::new();
        for id in siblings.iter().filter(|id| missing.contains(id)) {
            if let Some(track) = self.tracks.get(id) {
                tracks.entry(Continuity::of(&track.info)).or_default().push_back(*id);
            }
        }
        tracks
    }

    fn add_track(&mut self, publisher: Arc<str>, info: TrackInfo) {
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
        self.claim_handle(&sid, id);
    }

    fn change_sid(&mut self, id: TrackId, info: TrackInfo, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let sid = info.sid.clone();
        self.by_sid.remove(&track.info.sid);
        self.by_sid.insert(sid.clone(), id);
        track.info = info.clone();
        track.permission = Permission::Granted;
        track.end_when_answered = false;
        track.doubted = false;
        self.events.push_back(SubscriberEvent::TrackUpdated { track: id, info });
        if !track.streams.is_empty() {
            self.ask(id, now);
        }
        self.claim_handle(&sid, id);
    }

    /// The caller removes it from its publisher's list.
    fn remove_track(&mut self, id: TrackId) {
        let Some(mut track) = self.tracks.remove(&id) else { return };
        self.by_sid.remove(&track.info.sid);
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
