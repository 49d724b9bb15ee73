//! Settings of endpoints and associations.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::congestion::Algorithm;
use crate::error::{Error, Result};

/// Port of both ends over DTLS, where ports have no meaning (RFC 8261, section 3).
pub const DEFAULT_SCTP_PORT: u16 = 5000;
/// Bytes of an INIT chunk that is taken from signalling; INIT has some 50.
pub const MAX_SNAP_INIT_BYTES: usize = 4096;

/// How an association behaves.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// Bytes that received data may take, with its bookkeeping, until it is read. Default: 1 MiB.
    pub(crate) receive_buffer: u32,
    /// Bytes of a message that is sent, at most. Default: 65,536.
    pub(crate) max_send_message: u32,
    /// Bytes of a message that is received, at most. Default: 65,536.
    pub(crate) max_receive_message: u32,
    /// How often INIT and COOKIE ECHO are repeated; `None`: for ever. Default: 8 (RFC 9260, section 16).
    pub(crate) max_init_retransmits: Option<usize>,
    /// Timeouts in a row without an acknowledgement until the association is given up; `None`: never. Default: `None`.
    pub(crate) max_data_retransmits: Option<usize>,
    /// Which controller says how much may be in flight.
    pub(crate) congestion: Algorithm,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            receive_buffer: 1024 * 1024,
            max_send_message: 65_536,
            max_receive_message: 65_536,
            max_init_retransmits: Some(8),
            max_data_retransmits: None,
            congestion: Algorithm::default(),
        }
    }
}

impl TransportConfig {
    /// Sets the bytes that received data may take until it is read.
    #[must_use]
    pub fn with_max_receive_buffer_size(mut self, value: u32) -> Self {
        self.receive_buffer = value;
        self
    }

    /// Sets the size of a message that may be sent, in bytes.
    #[must_use]
    pub fn with_max_send_message_size(mut self, value: u32) -> Self {
        self.max_send_message = value;
        self
    }

    /// Sets the size of a message that is received, in bytes. A larger one ends the association.
    #[must_use]
    pub fn with_max_receive_message_size(mut self, value: u32) -> Self {
        self.max_receive_message = value;
        self
    }

    /// Sets how often the messages of the handshake are repeated; `None`: for ever.
    #[must_use]
    pub fn with_max_init_retransmits(mut self, value: Option<usize>) -> Self {
        self.max_init_retransmits = value;
        self
    }

    /// Sets after how many timeouts in a row the association is given up; `None`: never.
    #[must_use]
    pub fn with_max_data_retransmits(mut self, value: Option<usize>) -> Self {
        self.max_data_retransmits = value;
        self
    }

    /// Sets the congestion controller.
    #[must_use]
    pub fn with_congestion_control(mut self, value: Algorithm) -> Self {
        self.congestion = value;
        self
    }
}

/// Settings of an endpoint.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    pub(crate) max_payload: u32,
    pub(crate) seed: Option<u64>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self { max_payload: 1200, seed: None }
    }
}

impl EndpointConfig {
    /// Bytes of user data in a DATA chunk. The packet is up to 40 bytes larger, before DTLS.
    pub fn max_payload_size(&mut self, value: u32) -> &mut Self {
        self.max_payload = value.clamp(64, 65_000);
        self
    }

    /// Takes tags and first numbers from a seed instead of the operating system: for tests that must be repeatable.
    pub fn seed(&mut self, seed: u64) -> &mut Self {
        self.seed = Some(seed);
        self
    }
}

/// Settings of an endpoint that accepts associations.
#[derive(Debug, Clone, Default)]
pub struct ServerConfig {
    /// Those of the associations.
    pub transport: Arc<TransportConfig>,
}

/// Settings of an association that this side starts.
#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// How it behaves.
    pub transport: Arc<TransportConfig>,
    pub(crate) snap: Option<(Bytes, Bytes)>,
}

impl ClientConfig {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Both INIT chunks have travelled by signalling: the association is established from the start.
    #[must_use]
    pub fn with_snap(mut self, local_init: Bytes, remote_init: Bytes) -> Self {
        self.snap = Some((local_init, remote_init));
        self
    }
}

/// An INIT chunk for signalling, in place of the handshake (draft-hancke-tsvwg-snap).
///
/// # Errors
/// When the operating system gives no random numbers.
pub fn generate_snap_token(transport: &TransportConfig) -> Result<Bytes> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| Error::ErrNoRandomness)?;
    let [a, b, c, d, e, f, g, h] = random;
    let init = crate::wire::Init::ours(
        u32::from_be_bytes([a, b, c, d]).max(1),
        u32::from_be_bytes([e, f, g, h]),
        transport.receive_buffer,
    );
    Ok(init.to_chunk())
}

/// First value of the retransmission timeout (RFC 9260, section 16).
pub(crate) const RTO_INITIAL: Duration = Duration::from_secs(1);
/// Its least value. RFC 9260 says 1 s; the peer may hold an acknowledgement back for 200 ms, which this must exceed.
/// Loss is found by time (RFC 8985) long before it.
pub(crate) const RTO_MIN: Duration = Duration::from_millis(400);
/// Its greatest value. RFC 9260 says 60 s; over ICE, which ends a dead path after seconds, such a wait is of no use.
pub(crate) const RTO_MAX: Duration = Duration::from_secs(10);
/// How long an acknowledgement may be held back (RFC 9260, section 6.2).
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(200);
