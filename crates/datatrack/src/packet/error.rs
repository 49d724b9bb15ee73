use thiserror::Error;

/// Why bytes are not a packet. Offsets and lengths are in bytes from the packet's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PacketError {
    /// It is shorter than the base header of 12 bytes.
    #[error("{len} bytes are too short for the base header of 12 bytes")]
    TooShort {
        /// Length of the packet.
        len: usize,
    },
    /// The version in byte 0 is not 0.
    #[error("packet version {0} is not supported, only version 0 is")]
    UnsupportedVersion(u8),
    /// The handle in bytes 2 and 3 is zero.
    #[error("the track handle at byte 2 is 0")]
    InvalidHandle,
    /// The header announces extensions, but the two bytes of their length are missing.
    #[error("the extension length at byte 12 is missing")]
    MissingExtensionLength,
    /// The extensions would end beyond the packet.
    #[error("the header takes {needed} bytes and the packet has {available}")]
    HeaderOverrun {
        /// Length of the header according to its extension length.
        needed: usize,
        /// Length of the packet.
        available: usize,
    },
    /// An extension's value would end beyond the extensions.
    #[error("the extension with tag {tag} at byte {at} is longer than the extensions")]
    MalformedExtension {
        /// The extension's tag.
        tag: u8,
        /// The offset of the tag.
        at: usize,
    },
}
