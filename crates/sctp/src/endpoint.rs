//! An endpoint: makes associations, and tells which of them a datagram is for. Over DTLS there is one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::association::{Association, Entropy};
use crate::config::{ClientConfig, EndpointConfig, ServerConfig};
use crate::wire::{HEADER, Packet, Writer, kind};

/// Flag of a SHUTDOWN COMPLETE: the tag is that of the packet it answers (RFC 9260, section 8.5.1).
const REFLECTED: u8 = 1;

/// Which association of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AssociationHandle(pub usize);

/// A datagram for an association.
pub struct AssociationEvent {
    pub(crate) now: Instant,
    pub(crate) packet: Packet,
}

impl fmt::Debug for AssociationEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AssociationEvent").field("bytes", &self.packet.len()).finish()
    }
}

/// What an association tells its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointEvent(());

impl EndpointEvent {
    /// The association is over.
    #[must_use]
    pub fn drained() -> Self {
        Self(())
    }
}

/// What a datagram is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "str0m takes the association by value")]
pub enum DatagramEvent {
    /// For an association that there is.
    AssociationEvent(AssociationEvent),
    /// The beginning of a new one, which has taken it already.
    NewAssociation(Association),
}

/// Packets to be sent.
#[derive(Debug)]
pub struct Transmit {
    /// Their bytes.
    pub payload: Payload,
}

/// The bytes of packets.
#[derive(Debug)]
#[non_exhaustive]
pub enum Payload {
    /// One datagram each.
    RawEncode(Vec<Bytes>),
}

/// Why no association could be made.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The operating system gave no random numbers.
    #[error("no random numbers from the operating system")]
    NoRandomness,
    /// An INIT chunk that came by signalling is none.
    #[error("an INIT chunk of the signalling is malformed")]
    InvalidInit,
}

/// One end of a DTLS connection.
#[derive(Debug)]
pub struct Endpoint {
    config: Arc<EndpointConfig>,
    server: Option<Arc<ServerConfig>>,
    associations: usize,
    /// Whether there is one that takes datagrams.
    live: bool,
    seed: Option<u64>,
    /// The answer to a packet of an association that is over.
    answer: Option<Bytes>,
}

impl Endpoint {
    /// An endpoint; with a server's settings it accepts associations.
    #[must_use]
    pub fn new(config: Arc<EndpointConfig>, server: Option<Arc<ServerConfig>>) -> Self {
        let seed = config.seed;
        Self { config, server, associations: 0, live: false, seed, answer: None }
    }

    fn entropy(&mut self) -> Option<Entropy> {
        let mut bytes = [0; 28];
        if let Some(seed) = &mut self.seed {
            for chunk in bytes.chunks_mut(8) {
                // SplitMix64: repeatable, for tests.
                *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut mixed = *seed;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                let mixed = (mixed ^ (mixed >> 31)).to_be_bytes();
                for (to, from) in chunk.iter_mut().zip(mixed) {
                    *to = from;
                }
            }
        } else {
            getrandom::fill(&mut bytes).ok()?;
        }
        let word = |at: usize| crate::wire::u32_at(&bytes, at);
        let mut secret = [0; 16];
        secret.copy_from_slice(bytes.get(12..28)?);
        Some(Entropy { tag: word(0)?, spare_tag: word(4)?, first_tsn: word(8)?, secret })
    }

    /// Begins an association.
    ///
    /// # Errors
    /// When there are no random numbers, or what came by signalling is malformed.
    pub fn connect(
        &mut self,
        config: ClientConfig,
        _remote: SocketAddr,
    ) -> Result<(AssociationHandle, Association), ConnectError> {
        let entropy = self.entropy().ok_or(ConnectError::NoRandomness)?;
        let association = Association::connect(&config, self.config.max_payload, entropy)
            .ok_or(ConnectError::InvalidInit)?;
        Ok((self.add(), association))
    }

    fn add(&mut self) -> AssociationHandle {
        self.live = true;
        self.associations += 1;
        AssociationHandle(self.associations - 1)
    }

    /// Takes a datagram. `None`: it is no packet, or no association takes it.
    pub fn handle(
        &mut self,
        now: Instant,
        _remote: SocketAddr,
        _local: Option<IpAddr>,
        _ecn: Option<EcnCodepoint>,
        data: Bytes,
    ) -> Option<(AssociationHandle, DatagramEvent)> {
        let first = data.get(HEADER).copied();
        let packet = Packet::parse(data)?;
        let event = AssociationEvent { now, packet };
        if self.live {
            return Some((AssociationHandle(self.associations - 1), DatagramEvent::AssociationEvent(event)));
        }
        if first == Some(kind::SHUTDOWN_ACK) {
            // The last word of the shutdown was lost, and the peer asks for it (RFC 9260, section 8.4, rule 5).
            let packet = &event.packet;
            let mut answer = Writer::new(packet.destination_port, packet.source_port, packet.tag, 16);
            answer.chunk(kind::SHUTDOWN_COMPLETE, REFLECTED, |_| {});
            self.answer = Some(answer.finish(true));
            return None;
        }
        let server = self.server.clone()?;
        if first != Some(kind::INIT) {
            return None;
        }
        let entropy = self.entropy()?;
        let mut association =
            Association::listen(Arc::clone(&server.transport), self.config.max_payload, entropy);
        association.handle_event(event);
        Some((self.add(), DatagramEvent::NewAssociation(association)))
    }

    /// Takes what an association tells.
    pub fn handle_event(
        &mut self,
        handle: AssociationHandle,
        _event: EndpointEvent,
    ) -> Option<AssociationEvent> {
        if handle.0 + 1 == self.associations {
            self.live = false;
        }
        None
    }

    /// Packets of no association: the answer to one that is over.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        Some(Transmit { payload: Payload::RawEncode(vec![self.answer.take()?]) })
    }
}

/// Congestion marks of IP, which do not reach through DTLS.
#[derive(Debug, Copy, Clone, Eq, PartialEq)]
pub enum EcnCodepoint {}
