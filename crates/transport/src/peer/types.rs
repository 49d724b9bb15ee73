use std::net::SocketAddr;
use std::time::Duration;

use datatrack_media::Packet;
use sctp_proto::AssociationStats;

#[cfg(doc)]
use super::MAX_MESSAGE_SIZE;
use super::Section;
use crate::relay::RelayTransport;

/// The data channels of a LiveKit connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// `_reliable`: ordered, retransmitted.
    Reliable,
    /// `_lossy`: unordered, sent once.
    Lossy,
    /// `_data_track`: unordered, sent once.
    DataTrack,
}

impl ChannelKind {
    /// All kinds, in the order in which they are opened.
    pub const ALL: [Self; 3] = [Self::Reliable, Self::Lossy, Self::DataTrack];

    /// The channel's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reliable => "_reliable",
            Self::Lossy => "_lossy",
            Self::DataTrack => "_data_track",
        }
    }

    pub(super) fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Reliable => 0,
            Self::Lossy => 1,
            Self::DataTrack => 2,
        }
    }
}

/// The transport protocol of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP, framed by RFC 4571.
    Tcp,
}

/// A local candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LocalCandidate {
    /// An address of this machine. For TCP it is the one of a dialled connection.
    Host(Protocol, SocketAddr),
    /// The address that a relay gave. The other side is reached from there over UDP.
    Relayed(SocketAddr),
}

/// The kind of the other side's address, by ICE's candidate types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathKind {
    /// An address of the other side's own interface.
    Host,
    /// The address that a router or a STUN server saw; the other side told us of it.
    ServerReflexive,
    /// The address that we saw; the other side did not tell us of it.
    PeerReflexive,
    /// The address of a relay.
    Relayed,
}

/// A datagram to send.
pub struct Datagram {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The local candidate's address. It selects the socket.
    pub local: SocketAddr,
    /// The destination.
    pub remote: SocketAddr,
    /// The bytes.
    pub contents: Vec<u8>,
}

/// A candidate of the other side: the parts that the owner acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteCandidate {
    /// The transport protocol.
    pub protocol: Protocol,
    /// Its address.
    pub addr: SocketAddr,
    /// The kind of that address.
    pub kind: PathKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// ICE looks for a path. After the first time, this is because of a restart.
    Checking,
    /// ICE has a path, DTLS is up, and the channels that this side opened are open. It comes again after each restart.
    Connected,
    /// ICE lost its path.
    Disconnected,
    /// The other side has not answered on the path for a while: it is time to prepare another path.
    PathSuspected,
    /// The other side has not answered on the path for so long that the path counts as lost. ICE has not given it up
    /// yet. It may come back by itself; a restart helps.
    PathDead,
    /// The other side has answered again, after [`PathSuspected`](Self::PathSuspected) or [`PathDead`](Self::PathDead).
    PathAlive,
    /// DTLS or SCTP ended: the other side ended it, or an error did. Nothing more will arrive.
    Closed,
    /// A message arrived.
    Message {
        /// The channel that it came on.
        channel: ChannelKind,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// A packet of an audio track arrived.
    Audio {
        /// The section that it came in.
        section: Section,
        /// The packet.
        packet: Packet,
    },
    /// A candidate that has to be sent to the other side: text that starts with `candidate:`.
    LocalCandidate(String),
    /// The other side has a candidate. The owner may have to dial it or to bind a socket for it.
    RemoteCandidate(RemoteCandidate),
}

/// Why a description or a candidate was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It is no session description, or it describes no data connection.
    #[error("the session description cannot be used")]
    BadDescription,
    /// It answers no offer, or it answers an offer that a later offer replaced.
    #[error("the answer belongs to no pending offer")]
    UnexpectedAnswer,
    /// The candidate cannot be read. A candidate with a host name instead of an address counts as such.
    #[error("the candidate cannot be used")]
    BadCandidate,
    /// The peer was closed.
    #[error("the peer connection is closed")]
    Closed,
}

/// The result of writing a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The channel took it.
    Yes,
    /// The channels hold too much. The caller may try again later.
    Full,
    /// The channel is not open.
    NotOpen,
    /// It is larger than [`MAX_MESSAGE_SIZE`].
    TooLarge,
}

/// Measurements of a peer connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerStats {
    /// The path's round-trip time, measured by ICE checks.
    pub rtt: Option<Duration>,
    /// The transport protocol of the selected path.
    pub protocol: Option<Protocol>,
    /// The relay of the selected path; `None`: the path has none. The owner knows it.
    pub relay: Option<RelayTransport>,
    /// Whether the selected path goes through an HTTP proxy. The owner knows it.
    pub proxied: bool,
    /// The local address of the selected path.
    pub local: Option<SocketAddr>,
    /// The remote address of the selected path.
    pub remote: Option<SocketAddr>,
    /// The kind of the remote address.
    pub kind: Option<PathKind>,
    /// Datagrams that were sent.
    pub datagrams_sent: u64,
    /// Datagrams that arrived.
    pub datagrams_received: u64,
    /// Bytes of the datagrams that were sent.
    pub bytes_sent: u64,
    /// Bytes of the datagrams that arrived.
    pub bytes_received: u64,
    /// Datagrams that were not WebRTC, or that could not be decrypted.
    pub datagrams_rejected: u64,
    /// Datagrams that the other side encrypted and that did not arrive. They are counted by gaps in the numbers of DTLS
    /// records.
    pub datagrams_lost: u64,
    /// What SCTP knows as the sender.
    pub sctp: SctpStats,
}

/// What SCTP counts and measures as the sender. All of it is of the last time at which SCTP was asked for datagrams.
/// Zeros and `None` before the first time, and with str0m's own SCTP, which shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SctpStats {
    /// Bytes that may be in flight.
    pub congestion_window: usize,
    /// Bytes that are in flight.
    pub bytes_in_flight: usize,
    /// The smoothed round trip; `None` until one was measured.
    pub smoothed_rtt: Option<Duration>,
    /// The least round trip of the last ten seconds.
    pub least_rtt: Option<Duration>,
    /// How long the last measured datagram waited in queues on the path.
    pub queueing: Option<Duration>,
    /// Chunks, each at most one datagram, that were lost or came too late.
    pub chunks_lost: u64,
    /// Chunks that were sent again.
    pub retransmissions: u64,
}

impl From<AssociationStats> for SctpStats {
    fn from(stats: AssociationStats) -> Self {
        Self {
            congestion_window: stats.congestion_window,
            bytes_in_flight: stats.bytes_in_flight,
            smoothed_rtt: stats.smoothed_rtt,
            least_rtt: stats.least_rtt,
            queueing: stats.queueing,
            chunks_lost: stats.lost,
            retransmissions: stats.retransmissions,
        }
    }
}

impl SctpStats {
    /// Bytes a second that the congestion window lets through; `None` until a round trip was measured.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "some megabytes at most")]
    pub fn window_rate(&self) -> Option<f64> {
        let rtt = self.smoothed_rtt.filter(|rtt| !rtt.is_zero())?;
        Some(self.congestion_window as f64 / rtt.as_secs_f64())
    }
}
