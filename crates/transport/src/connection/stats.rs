use crate::peer::PeerStats;

/// What is measured at a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionStats {
    /// The peer connection that this side offers.
    pub publisher: PeerStats,
    /// The peer connection that the server offers; `None` if there is none.
    pub subscriber: Option<PeerStats>,
    /// `_data_track`.
    pub data_track: ChannelStats,
    /// `_reliable`.
    pub reliable: ChannelStats,
    /// `_lossy`.
    pub lossy: ChannelStats,
    /// Bytes that `_data_track` may hold: it follows what the path carries.
    pub data_track_limit: usize,
}

/// Counts of a channel's messages. A message of data tracks is a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelStats {
    /// Messages that the channel took.
    pub messages_sent: u64,
    /// Bytes of those messages.
    pub bytes_sent: u64,
    /// Messages that arrived.
    pub messages_received: u64,
    /// Bytes of the messages that arrived.
    pub bytes_received: u64,
    /// Messages that arrived and were dropped, because the caller did not read `_lossy` in time.
    pub dropped: u64,
    /// Bytes that wait or are in flight.
    pub buffered: usize,
}

impl ConnectionStats {
    pub(super) const fn channel(&mut self, channel: crate::peer::ChannelKind) -> &mut ChannelStats {
        match channel {
            crate::peer::ChannelKind::Reliable => &mut self.reliable,
            crate::peer::ChannelKind::Lossy => &mut self.lossy,
            crate::peer::ChannelKind::DataTrack => &mut self.data_track,
        }
    }
}

impl ChannelStats {
    pub(super) const fn count_sent(&mut self, bytes: usize) {
        self.messages_sent += 1;
        self.bytes_sent += bytes as u64;
    }

    pub(super) const fn count_received(&mut self, bytes: usize) {
        self.messages_received += 1;
        self.bytes_received += bytes as u64;
    }
}
