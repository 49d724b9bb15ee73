//! SCTP for data channels (RFC 9260 over DTLS, RFC 8261), as a sans-IO state machine.
//!
//! The crate reads no clock and opens no socket. Time comes in with each call, and so does randomness in tests
//! ([`EndpointConfig::seed`]). Its interface is that of the crate that str0m uses (`sctp-proto`). It takes that crate's
//! place by `[patch.crates-io]`, while str0m stays as it is: see `crates/sctp-proto`. Its tests are in `__test__/sctp`,
//! where both engines run.
//!
//! - **Cost per packet does not depend on what is in flight**: no scan, no sort, no hash. Chunks are kept in a ring by
//!   number and in a list by time of sending.
//! - **Loss is found by time** (RFC 8985 for TCP): what was sent before something that has arrived is lost after a
//!   moment. A probe finds the loss of the last ones.
//! - **What may be lost is not waited for** (RFC 3758): the peer is told to go on, at most once in 1.25 round trips.
//! - **Congestion control is exchangeable** ([`Algorithm`]).

mod association;
mod config;
mod congestion;
mod endpoint;
mod error;
mod ppid;
mod receive;
mod scope;
mod send;
mod serial;
mod stats;
mod wire;

pub use association::{
    Association, AssociationError, Chunks, Event, ReliabilityType, Stream, StreamEvent, StreamId,
    StreamResetError,
};
pub use config::{
    ClientConfig, DEFAULT_SCTP_PORT, EndpointConfig, MAX_SNAP_INIT_BYTES, ServerConfig, TransportConfig,
    generate_snap_token,
};
pub use congestion::Algorithm;
pub use endpoint::{
    AssociationEvent, AssociationHandle, ConnectError, DatagramEvent, EcnCodepoint, Endpoint, EndpointEvent,
    Payload, Transmit,
};
pub use error::Error;
pub use ppid::PayloadProtocolIdentifier;
pub use scope::{observe, repair_until};
pub use stats::AssociationStats;

/// Causes in an ABORT (RFC 9260, section 3.3.10).
mod wire_cause {
    pub(crate) const OUT_OF_RESOURCE: u16 = 4;
    pub(crate) const NO_USER_DATA: u16 = 9;
    pub(crate) const RESTART: u16 = 11;
    pub(crate) const USER_INITIATED: u16 = 12;
    pub(crate) const PROTOCOL: u16 = 13;
}
