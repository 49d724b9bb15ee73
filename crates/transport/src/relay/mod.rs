//! TURN (RFC 8656): relays, through which the room reaches the server if neither UDP nor TCP to the server works. This
//! module does no I/O; `sockets/relay.rs` has the sockets.

mod allocation;
mod crypto;
mod frames;
mod trust;

use std::fmt;
use std::sync::Arc;

use crate::proxy::{Proxy, ProxyError};

pub(crate) use allocation::{Allocation, AllocationEvent, MAX_PEERS};
pub(crate) use frames::{pad, split_message};
pub use trust::Trust;

/// The most relays of one peer connection. A server usually names two or three.
pub const MAX_RELAYS: u32 = 4;

/// How a relay is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelayTransport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// A TURN server with the credentials for it.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayServer {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the server is reached.
    pub transport: RelayTransport,
    /// The user name.
    pub username: String,
    /// The password.
    pub credential: String,
    /// The proxy to it. It is not used for UDP.
    pub proxy: Option<Proxy>,
}

impl fmt::Debug for RelayServer {
    /// Leaves out the credentials and the address, because logs carry neither.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayServer").field("transport", &self.transport).finish_non_exhaustive()
    }
}

/// The relays of a connection.
#[derive(Debug, Clone, Default)]
pub struct Relays {
    /// The servers. Only the first [`MAX_RELAYS`] are used.
    pub servers: Vec<RelayServer>,
    /// Whether the TURN servers may have any address. If not, a loopback or link-local address is used only if
    /// signalling reached the LiveKit server at such an address, too.
    pub anywhere: bool,
    /// Whether data may go through relays only.
    pub only: bool,
    /// The certificate authorities, for relays over TLS.
    pub trust: Arc<Trust>,
}

/// Why a relay cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RelayError {
    /// Its host has no address that may be used.
    #[error("the relay's host has no usable address")]
    Unresolved,
    /// It refuses connections, or does not answer in time.
    #[error("the relay does not answer")]
    Unreachable,
    /// Its certificate is not trusted: unknown authority, another name, or expired.
    #[error("the relay's certificate is not trusted")]
    Untrusted,
    /// It refuses the credentials: they are wrong or have expired.
    #[error("the relay refuses the credentials")]
    Unauthorized,
    /// It does not let this side reach the server's addresses.
    #[error("the relay forbids the server's address")]
    Forbidden,
    /// It answers with another error, which has this STUN code: 486 if a quota is used up, 508 if it lacks capacity,
    /// 300 if it names another server. That server is not asked.
    #[error("the relay answers with error {0}")]
    Refused(u16),
    /// What it sends is not TURN.
    #[error("the relay does not speak TURN")]
    Protocol,
    /// The proxy does not let this side reach it, and it cannot be reached without the proxy either.
    #[error("{0}")]
    Proxy(#[from] ProxyError),
}
