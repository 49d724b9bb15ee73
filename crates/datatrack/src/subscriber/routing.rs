//! Routing: the track of each handle, packets whose handle is not known yet, and partial frames.

use bytes::{Buf, Bytes};

use super::track::Subscription;
use super::{Connection, Epoch, Subscriber, TrackId};
use crate::depacketizer::{DepacketizerOptions, Outcome};
use crate::info::TrackSid;
use crate::packet::{Handle, Header};
use crate::stats::PacketDrop;
use crate::time::Instant;

/// Where packets under a handle belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Route {
    /// The SFU has not named it. Packets are worth holding.
    #[default]
    Unknown,
    Track(TrackId),
    /// A track that has ended or has another handle now. Its last packets must not be held for the next track that gets
    /// this handle.
    Gone,
}

/// A packet with a longer header is not kept: its payload is copied. Otherwise a peer could make a frame of one byte
/// hold a packet of 60 kB. All known extensions need 40 bytes.
const LONGEST_KEPT_HEADER: usize = 64;

impl Subscriber {
    // Handles.
    /// Takes the SFU's whole table of handles, as pairs of handle and SID. A handle that the table no longer names
    /// still routes until its track gets another one, because packets sent before the table are still useful.
    ///
    /// If the table no longer names a track that has a reader, and no later table names it in time, it is requested
    /// again. The SFU may have missed a subscription that came just after an unsubscription.
    pub fn handle_subscriber_handles(&mut self, table: Vec<(Handle, TrackSid)>, now: Instant) {
        if self.connection == Connection::Closed {
            return;
        }
        self.unclaimed.clear();
        for track in self.tracks.values_mut() {
            if let Some(assignment) = &mut track.assignment {
                assignment.named = false;
            }
        }
        for (handle, sid) in table {
            match self.by_sid.get(&sid) {
                Some(&id) => self.assign(handle, id),
                None => {
                    // The handle may have had another track. From now on its packets belong to the track that is not
                    // announced yet.
                    self.set_route(handle, Route::Unknown);
                    self.unclaimed.insert(sid, handle);
                }
            }
        }
        for id in self.subscribed_tracks() {
            let Some(track) = self.tracks.get(&id) else { continue };
            let named = track.assignment.as_ref().is_some_and(|assignment| assignment.named);
            if track.subscription == Subscription::Active && !named {
                self.await_answer(id, now);
            }
        }
        self.replay_early(now);
    }

    /// The table came before the track was announced. The caller replays early packets.
    pub(super) fn claim_handle(&mut self, sid: &TrackSid, id: TrackId) {
        if let Some(handle) = self.unclaimed.remove(sid) {
            self.assign(handle, id);
        }
    }

    fn assign(&mut self, handle: Handle, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let before = track.assignment.as_ref().map(|assignment| assignment.handle);
        let restarted = track.assign(handle);
        if let Some(before) = before.filter(|before| *before != handle) {
            self.clear_route(before, id);
        }
        self.set_route(handle, Route::Track(id));
        if restarted {
            self.note_restart(id);
        }
        self.activate(id);
        self.end_if_unneeded(id);
    }

    /// Changes the route of `handle`. The track that had it before has no handle any more.
    fn set_route(&mut self, handle: Handle, route: Route) {
        let index = usize::from(handle.get());
        if self.routes.len() <= index {
            self.routes.resize(index + 1, Route::Unknown);
        }
        let Some(place) = self.routes.get_mut(index) else { return };
        let before = std::mem::replace(place, route);
        if let Route::Track(other) = before
            && before != route
            && let Some(other) = self.tracks.get_mut(&other)
        {
            other.end_assignment();
        }
    }

    pub(super) fn clear_route(&mut self, handle: Handle, track: TrackId) {
        if let Some(route) = self.routes.get_mut(usize::from(handle.get()))
            && *route == Route::Track(track)
        {
            *route = Route::Gone;
        }
    }

    fn route(&self, handle: Handle) -> Route {
        self.routes.get(usize::from(handle.get())).copied().unwrap_or_default()
    }

    // Packets.

    /// The session of the packets that arrive now; see [`handle_packet`](Self::handle_packet).
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Sets how a track's packets become frames, from the next packet on. Does nothing for a track that has ended.
    pub fn set_pipeline_options(&mut self, track: TrackId, options: DepacketizerOptions) {
        if let Some(track) = self.tracks.get_mut(&track) {
            track.pipeline = options;
            if let Some(assignment) = &mut track.assignment {
                assignment.depacketizer.set_options(options);
            }
        }
    }

    /// Takes a packet from the data channel, with the epoch in which its channel was opened.
    ///
    /// The buffer is kept until its frame is read, unless its header is longer than the known extensions require. The
    /// packet must not be part of a larger buffer, because bounds count the packet's own bytes.
    pub fn handle_packet(&mut self, packet: Bytes, epoch: Epoch, now: Instant) {
        self.packets.received += 1;
        self.packets.bytes_received += packet.len() as u64;
        if epoch != self.epoch || self.connection == Connection::Closed {
            return self.packets.dropped.count(PacketDrop::StaleEpoch);
        }
        self.accept(packet, now);
    }

    fn accept(&mut self, packet: Bytes, now: Instant) {
        let Ok((header, payload_at)) = Header::parse(&packet) else {
            return self.packets.dropped.count(PacketDrop::Malformed);
        };
        let id = match self.route(header.handle) {
            Route::Track(id) => id,
            Route::Gone => return self.packets.dropped.count(PacketDrop::UnknownHandle),
            Route::Unknown => {
                let dropped = self.early.push(header.handle, packet, now);
                self.packets.dropped.add(PacketDrop::UnknownHandle, dropped);
                if let Some(deadline) = self.early.poll_timeout() {
                    self.expect_by(deadline);
                }
                return;
            }
        };
        let Some(track) = self.tracks.get_mut(&id) else {
            return self.packets.dropped.count(PacketDrop::UnknownHandle);
        };
        if track.streams.is_empty() {
            self.packets.dropped.count(PacketDrop::Unsubscribed);
            return self.end_if_unneeded(id);
        }
        let Some(assignment) = &mut track.assignment else {
            return self.packets.dropped.count(PacketDrop::UnknownHandle);
        };
        // If we unsubscribe and subscribe again at once, the SFU's table may stay the same, and no new one comes.
        let answers = track.subscription != Subscription::Active
            && assignment.named
            && assignment.sid == track.info.sid;
        let payload = payload_of(packet, payload_at);
        match assignment.depacketizer.handle_packet(&header, payload, now) {
            Outcome::Frame(frame) => {
                self.packets.accepted += 1;
                self.complete(id, frame, now, now);
            }
            Outcome::Pending => {
                self.packets.accepted += 1;
                if let Some(deadline) = assignment.depacketizer.poll_timeout() {
                    self.expect_by(deadline);
                }
            }
            Outcome::Dropped(reason) => self.packets.dropped.count(reason),
        }
        if answers {
            self.activate(id);
        }
    }

    pub(super) fn replay_early(&mut self, now: Instant) {
        let expired = self.early.expire(now);
        self.packets.dropped.add(PacketDrop::UnknownHandle, expired);
        let routes = &self.routes;
        let known = |handle: Handle| matches!(routes.get(usize::from(handle.get())), Some(Route::Track(_)));
        for early in self.early.take_known(known) {
            self.accept(early.packet, now);
        }
    }
}

/// The payload of a packet whose header ends at `payload_at`.
#[inline]
fn payload_of(mut packet: Bytes, payload_at: usize) -> Bytes {
    // A slice would share the buffer. That would allocate, only for the buffer to be released again.
    packet.advance(payload_at);
    if payload_at > LONGEST_KEPT_HEADER { Bytes::copy_from_slice(&packet) } else { packet }
}
