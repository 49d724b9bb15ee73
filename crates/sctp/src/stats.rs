//! What an association counts and measures.

use std::time::Duration;

/// Figures of an association.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssociationStats {
    /// Packets with data that were sent.
    pub packets_sent: u64,
    /// Packets that were received.
    pub packets_received: u64,
    /// Bytes that may be in flight.
    pub congestion_window: usize,
    /// Bytes that are in flight, headers of chunks included.
    pub bytes_in_flight: usize,
    /// The smoothed round trip; `None` until one was measured.
    pub smoothed_rtt: Option<Duration>,
    /// The least round trip of the last ten seconds.
    pub least_rtt: Option<Duration>,
    /// How long the last measured packet waited in queues: its round trip less the least one.
    pub queueing: Option<Duration>,
    /// DATA chunks that were lost. Some of them may have come late, after all.
    pub lost: u64,
    /// DATA chunks that were sent again.
    pub retransmissions: u64,
    /// Received DATA chunks that were dropped because the buffer was full or the gap too wide; the peer sends them
    /// again.
    pub refused: u64,
}
