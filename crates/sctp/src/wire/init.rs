//! INIT and INIT ACK: what each side brings.

use bytes::Bytes;

use super::{kind, padded, parameter, parameters, u16_at, u32_at};

/// Error detection method of RFC 9653: DTLS.
const DTLS: u32 = 1;
/// Extensions that are announced (RFC 5061, section 4.2.7).
const EXTENSIONS: [u8; 2] = [kind::RECONFIG, kind::FORWARD_TSN];

/// What an INIT or INIT ACK says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Init {
    /// The tag that packets to its sender carry.
    pub(crate) tag: u32,
    pub(crate) window: u32,
    pub(crate) outbound_streams: u16,
    pub(crate) inbound_streams: u16,
    pub(crate) first_tsn: u32,
    pub(crate) forward_tsn: bool,
    pub(crate) reconfig: bool,
    pub(crate) zero_checksum: bool,
    /// Of an INIT ACK.
    pub(crate) cookie: Option<Bytes>,
}

impl Init {
    /// What this engine offers.
    pub(crate) fn ours(tag: u32, first_tsn: u32, window: u32) -> Self {
        Self {
            tag,
            window,
            outbound_streams: u16::MAX,
            inbound_streams: u16::MAX,
            first_tsn,
            forward_tsn: true,
            reconfig: true,
            zero_checksum: true,
            cookie: None,
        }
    }

    /// `None`: too short, or with a zero where RFC 9260 forbids it (section 3.3.2).
    pub(crate) fn parse(value: &Bytes) -> Option<Self> {
        let mut init = Self {
            tag: u32_at(value, 0)?,
            window: u32_at(value, 4)?,
            outbound_streams: u16_at(value, 8)?,
            inbound_streams: u16_at(value, 10)?,
            first_tsn: u32_at(value, 12)?,
            forward_tsn: false,
            reconfig: false,
            zero_checksum: false,
            cookie: None,
        };
        if init.tag == 0 || init.outbound_streams == 0 || init.inbound_streams == 0 {
            return None;
        }
        for (kind, content) in parameters(value, 16) {
            match kind {
                parameter::FORWARD_TSN_SUPPORTED => init.forward_tsn = true,
                parameter::ZERO_CHECKSUM => init.zero_checksum = u32_at(&content, 0) == Some(DTLS),
                parameter::STATE_COOKIE => init.cookie = Some(content),
                parameter::SUPPORTED_EXTENSIONS => {
                    init.reconfig |= content.contains(&super::kind::RECONFIG);
                    init.forward_tsn |= content.contains(&super::kind::FORWARD_TSN);
                }
                _ => {}
            }
        }
        Some(init)
    }

    /// What follows the chunk's header.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tag.to_be_bytes());
        out.extend_from_slice(&self.window.to_be_bytes());
        out.extend_from_slice(&self.outbound_streams.to_be_bytes());
        out.extend_from_slice(&self.inbound_streams.to_be_bytes());
        out.extend_from_slice(&self.first_tsn.to_be_bytes());
        if let Some(cookie) = &self.cookie {
            write_parameter(out, parameter::STATE_COOKIE, cookie);
        }
        if self.forward_tsn {
            write_parameter(out, parameter::FORWARD_TSN_SUPPORTED, &[]);
        }
        if self.reconfig {
            write_parameter(out, parameter::SUPPORTED_EXTENSIONS, &EXTENSIONS);
        }
        // Last, since it needs no padding, which a chunk's length does not count at its end.
        if self.zero_checksum {
            write_parameter(out, parameter::ZERO_CHECKSUM, &DTLS.to_be_bytes());
        }
    }

    /// A whole INIT chunk, for signalling.
    pub(crate) fn to_chunk(&self) -> Bytes {
        let mut out = vec![kind::INIT, 0, 0, 0];
        self.write(&mut out);
        let length = u16::try_from(out.len()).unwrap_or(u16::MAX).to_be_bytes();
        if let Some(field) = out.get_mut(2..4) {
            field.copy_from_slice(&length);
        }
        Bytes::from(out)
    }

    /// Reads such a chunk.
    pub(crate) fn from_chunk(chunk: &Bytes) -> Option<Self> {
        let length = usize::from(u16_at(chunk, 2)?);
        if chunk.first() != Some(&kind::INIT) || length < 20 || length > chunk.len() {
            return None;
        }
        Self::parse(&chunk.slice(4..length))
    }
}

/// Appends a parameter with its padding.
fn write_parameter(out: &mut Vec<u8>, kind: u16, content: &[u8]) {
    let length = u16::try_from(4 + content.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(content);
    let end = out.len() - content.len() + padded(content.len());
    out.resize(end, 0);
}
