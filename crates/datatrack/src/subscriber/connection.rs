//! The connection: lost, resumed, rebuilt and closed.

use super::track::{Permission, Subscription};
use super::{Connection, Epoch, SubscribeError, Subscriber};
use crate::stats::{FrameDrop, PacketDrop};
use crate::time::Instant;

impl Subscriber {
    /// The connection is lost. Subscriptions stay. They are sent to the SFU again when the connection is back.
    pub fn handle_connection_lost(&mut self) {
        if self.connection == Connection::Up {
            self.connection = Connection::Lost;
        }
    }

    /// The connection is resumed. Handles keep their meaning. For unanswered requests, the SFU has the whole time
    /// again.
    pub fn handle_resumed(&mut self, now: Instant) {
        if self.connection != Connection::Lost {
            return;
        }
        self.connection = Connection::Up;
        self.renew_permissions(now);
        for id in self.subscribed_tracks() {
            if self.tracks.get(&id).is_some_and(|track| track.subscription == Subscription::Active) {
                self.tell_subscription(id, true);
                self.want_latest(id);
            } else {
                self.ask(id, now);
            }
        }
    }

    /// The connection is rebuilt. The old handles are void, and packets of older epochs are dropped.
    pub fn handle_rebuilt(&mut self, now: Instant) {
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
            track.permission = Permission::Granted;
            track.end_when_answered = false;
            track.doubted = false;
        }
        for id in self.subscribed_tracks() {
            self.ask(id, now);
        }
    }

    /// Ends every stream with [`SubscribeError::Disconnected`], after the frames in its buffer. Idempotent.
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
