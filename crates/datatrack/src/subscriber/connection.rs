//! The connection, lost and found again, and its end.

use super::track::Subscription;
use super::{Connection, Epoch, SubscribeError, Subscriber};
use crate::stats::{FrameDrop, PacketDrop};
use crate::time::Instant;

impl Subscriber {
    /// The transport is gone for now. Subscriptions stay and are told to the SFU again when it is back.
    pub fn handle_connection_lost(&mut self) {
        if self.connection == Connection::Up {
            self.connection = Connection::Lost;
        }
    }

    /// The transport is back in the same signalling session: handles go on meaning what they did, and what the SFU has
    /// not answered yet has the whole time for it.
    pub fn handle_resumed(&mut self, now: Instant) {
        if self.connection != Connection::Lost {
            return;
        }
        self.connection = Connection::Up;
        for id in self.subscribed_tracks() {
            if self.tracks.get(&id).is_some_and(|track| track.subscription == Subscription::Active) {
                self.tell_subscription(id, true);
            } else {
                self.ask(id, now);
            }
        }
    }

    /// A new signalling session: the old handles mean nothing any more, and packets of older epochs are dropped.
    pub fn handle_reconnected(&mut self, now: Instant) {
        if self.connection == Connection::Closed {
            return;
        }
        self.connection = Connection::Up;
        self.epoch = Epoch(self.epoch.0.wrapping_add(1));
        self.routes.clear();
        self.unclaimed.clear();
        let dropped = self.early.clear();
        self.packets.dropped.add(PacketDrop::StaleEpoch, dropped);
        for track in self.tracks.values_mut() {
            track.end_assignment();
        }
        for id in self.subscribed_tracks() {
            self.ask(id, now);
        }
    }

    /// Ends every stream with [`SubscribeError::Disconnected`], after the frames that are buffered. Idempotent.
    pub fn close(&mut self) {
        if self.connection == Connection::Closed {
            return;
        }
        self.connection = Connection::Closed;
        let dropped = self.early.clear();
        self.packets.dropped.add(PacketDrop::StaleEpoch, dropped);
        self.routes.clear();
        for track in self.tracks.values_mut() {
            track.drop_sealed(FrameDrop::Ended);
            track.end_assignment();
            track.subscription = Subscription::None;
        }
        let mut streams = self.streams.keys().copied().collect::<Vec<_>>();
        streams.sort_unstable();
        for stream in streams {
            self.end_stream(stream, Some(SubscribeError::Disconnected));
        }
    }
}
