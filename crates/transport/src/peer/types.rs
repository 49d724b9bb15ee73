use std::net::SocketAddr;
use std::time::Duration;

#[cfg(doc)]
use super::MAX_MESSAGE_SIZE;

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
    /// Each kind; the order in which they are opened.
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

/// What a datagram travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP, framed by RFC 4571.
    Tcp,
}

/// What an address of the other side is to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathKind {
    /// Its own.
    Host,
    /// What a router or a STUN server saw of it, and it told us.
    ServerReflexive,
    /// What we saw of it, though it did not tell.
    PeerReflexive,
    /// A relay's.
    Relayed,
}

/// A datagram to be sent.
pub struct Datagram {
    /// What it travels in.
    pub protocol: Protocol,
    /// The local candidate's address: the socket to use.
    pub local: SocketAddr,
    /// Where to.
    pub remote: SocketAddr,
    /// The bytes.
    pub contents: Vec<u8>,
}

/// A candidate of the other side, as far as the owner has to act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteCandidate {
    /// What it takes.
    pub protocol: Protocol,
    /// Its address.
    pub addr: SocketAddr,
    /// What that is to the other side.
    pub kind: PathKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// ICE looks for a path; after the first time, because of a restart.
    Checking,
    /// ICE has a path, DTLS is up and the channels that this side opened are open; again after each restart.
    Connected,
    /// ICE lost its path.
    Disconnected,
    /// DTLS or SCTP ended: by the other side, or by an error. Nothing will come any more.
    Closed,
    /// A message came.
    Message {
        /// On which channel.
        channel: ChannelKind,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// A candidate to tell the other side: text that starts with `candidate:`.
    LocalCandidate(String),
    /// The other side has a candidate: there may be something to dial or to bind.
    RemoteCandidate(RemoteCandidate),
}

/// Why a description was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It is no session description, or not one for a data connection.
    #[error("the session description cannot be used")]
    BadDescription,
    /// It answers no offer, or one that a later offer replaced.
    #[error("the answer belongs to no pending offer")]
    UnexpectedAnswer,
    /// The candidate cannot be read; those that name a host instead of an address count here.
    #[error("the candidate cannot be used")]
    BadCandidate,
    /// The peer was closed.
    #[error("the peer connection is closed")]
    Closed,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The channel has it.
    Yes,
    /// The channels hold too much; it may be offered again later.
    Full,
    /// The channel is not open.
    NotOpen,
    /// It is larger than [`MAX_MESSAGE_SIZE`].
    TooLarge,
}

/// What is measured at a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerStats {
    /// The path's round-trip time, by ICE's checks.
    pub rtt: Option<Duration>,
    /// What the selected path travels in.
    pub protocol: Option<Protocol>,
    /// This side's end of that path.
    pub local: Option<SocketAddr>,
    /// The other side's.
    pub remote: Option<SocketAddr>,
    /// What the latter is to the other side.
    pub kind: Option<PathKind>,
    /// Datagrams and their bytes.
    pub datagrams_sent: u64,
    /// See `datagrams_sent`.
    pub datagrams_received: u64,
    /// See `datagrams_sent`.
    pub bytes_sent: u64,
    /// See `datagrams_sent`.
    pub bytes_received: u64,
    /// Datagrams that were no WebRTC or did not decrypt.
    pub datagrams_rejected: u64,
    /// Datagrams that the other end encrypted and that did not come, by the gaps in the numbers of their DTLS records.
    pub datagrams_lost: u64,
}
