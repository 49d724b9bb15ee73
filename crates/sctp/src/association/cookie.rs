//! The cookie of an INIT ACK: what the peer's INIT said, and a secret that shows it is ours.
//!
//! RFC 9260 wants it signed, because any host may send an INIT. Over DTLS it is the peer, which can fake nothing but
//! its own words; the secret of the association is enough.

use bytes::Bytes;

use crate::wire::{Init, u32_at};

/// Bytes of the secret.
pub(crate) const SECRET: usize = 16;

/// What comes back in a COOKIE ECHO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// The tag that packets to us carry.
    pub(crate) our_tag: u32,
    /// The peer's INIT, as a chunk.
    pub(crate) peer: Init,
}

impl Cookie {
    pub(crate) fn seal(&self, secret: &[u8; SECRET]) -> Bytes {
        let mut out = secret.to_vec();
        out.extend_from_slice(&self.our_tag.to_be_bytes());
        out.extend_from_slice(&Init { cookie: None, ..self.peer.clone() }.to_chunk());
        Bytes::from(out)
    }

    pub(crate) fn open(bytes: &Bytes, secret: &[u8; SECRET]) -> Option<Self> {
        if bytes.get(..SECRET)? != secret {
            return None;
        }
        Some(Self { our_tag: u32_at(bytes, SECRET)?, peer: Init::from_chunk(&bytes.slice(SECRET + 4..))? })
    }
}
