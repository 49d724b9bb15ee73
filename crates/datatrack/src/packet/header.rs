use super::{BASE_HEADER_LEN, Extensions, Handle, MAX_HEADER_LEN, PacketError};

const VERSION_SHIFT: u8 = 5;
const START: u8 = 0b1_0000;
const FINAL: u8 = 0b0_1000;
const EXTENDED: u8 = 0b0_0100;

/// The position of a packet in its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Marker {
    /// The only packet.
    Single,
    /// The first of several packets.
    Start,
    /// Neither the first nor the last packet.
    Inter,
    /// The last of several packets.
    Final,
}

impl Marker {
    const fn from_flags(flags: u8) -> Self {
        match (flags & START != 0, flags & FINAL != 0) {
            (true, true) => Self::Single,
            (true, false) => Self::Start,
            (false, true) => Self::Final,
            (false, false) => Self::Inter,
        }
    }

    const fn flags(self) -> u8 {
        match self {
            Self::Single => START | FINAL,
            Self::Start => START,
            Self::Inter => 0,
            Self::Final => FINAL,
        }
    }
}

/// The header of a packet. The payload follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The packet's position in its frame.
    pub marker: Marker,
    /// The track's handle.
    pub handle: Handle,
    /// The packet's number within the track, modulo 2¹⁶.
    pub sequence: u16,
    /// The frame's number within the track, modulo 2¹⁶.
    pub frame_number: u16,
    /// Ticks of 90 kHz from a random base, modulo 2³².
    pub timestamp: u32,
    /// The extensions of the frame.
    pub extensions: Extensions,
}

impl Header {
    /// Reads a packet's header. Returns the header and the offset of the payload.
    ///
    /// # Errors
    ///
    /// The first error found, in the order of [`PacketError`]'s variants.
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<(Self, usize), PacketError> {
        let Some((base, rest)) = packet.split_first_chunk::<BASE_HEADER_LEN>() else {
            return Err(PacketError::TooShort { len: packet.len() });
        };
        let [flags, _, h0, h1, s0, s1, f0, f1, t0, t1, t2, t3] = *base;
        if flags >> VERSION_SHIFT != 0 {
            return Err(PacketError::UnsupportedVersion(flags >> VERSION_SHIFT));
        }
        let Some(handle) = Handle::new(u16::from_be_bytes([h0, h1])) else {
            return Err(PacketError::InvalidHandle);
        };
        let (extensions, payload_at) = if flags & EXTENDED == 0 {
            (Extensions { e2ee: None, user_timestamp: None }, BASE_HEADER_LEN)
        } else {
            Extensions::parse(rest)?
        };
        let header = Self {
            marker: Marker::from_flags(flags),
            handle,
            sequence: u16::from_be_bytes([s0, s1]),
            frame_number: u16::from_be_bytes([f0, f1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            extensions,
        };
        Ok((header, payload_at))
    }

    /// The header's length when written, in bytes: 12, 24, 32 or 40.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "no header is empty")]
    pub const fn len(&self) -> usize {
        self.extensions.header_len()
    }

    /// Writes the header to the start of `target` and returns its length in bytes.
    ///
    /// Returns `None` if `target` is too short. Then nothing is written.
    #[inline]
    pub fn write(&self, target: &mut [u8]) -> Option<usize> {
        let len = self.len();
        let (base, extensions) = target.get_mut(..len)?.split_first_chunk_mut::<BASE_HEADER_LEN>()?;
        *base = self.base();
        if !extensions.is_empty() {
            let block = self.extensions.to_block();
            extensions.copy_from_slice(block.get(..extensions.len())?);
        }
        Some(len)
    }

    /// The header in the first `len()` bytes of an array.
    #[inline]
    pub(crate) fn to_array(self) -> [u8; MAX_HEADER_LEN] {
        let mut array = [0; MAX_HEADER_LEN];
        let (base, extensions) = array.split_at_mut(BASE_HEADER_LEN);
        base.copy_from_slice(&self.base());
        if self.len() > BASE_HEADER_LEN {
            extensions.copy_from_slice(&self.extensions.to_block());
        }
        array
    }

    /// Byte 0. Apart from it, only the sequence number in bytes 4 and 5 differs between the packets of a frame.
    #[inline]
    pub(crate) const fn first_byte(marker: Marker, extensions: &Extensions) -> u8 {
        let extended = if extensions.header_len() > BASE_HEADER_LEN { EXTENDED } else { 0 };
        marker.flags() | extended
    }

    #[inline]
    fn base(&self) -> [u8; BASE_HEADER_LEN] {
        let flags = Self::first_byte(self.marker, &self.extensions);
        let [h0, h1] = self.handle.get().to_be_bytes();
        let [s0, s1] = self.sequence.to_be_bytes();
        let [f0, f1] = self.frame_number.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        [flags, 0, h0, h1, s0, s1, f0, f1, t0, t1, t2, t3]
    }
}

/// The handle of a packet, if its base header is one of version 0.
#[inline]
pub fn peek_handle(packet: &[u8]) -> Option<Handle> {
    let [flags, _, h0, h1, ..] = *packet.first_chunk::<BASE_HEADER_LEN>()?;
    if flags >> VERSION_SHIFT != 0 {
        return None;
    }
    Handle::new(u16::from_be_bytes([h0, h1]))
}

/// Replaces a packet's handle, as the SFU does for each subscriber.
///
/// Returns whether it did. Bytes that are not a packet of version 0 stay unchanged.
#[inline]
pub fn rewrite_handle(packet: &mut [u8], handle: Handle) -> bool {
    if peek_handle(packet).is_none() {
        return false;
    }
    let Some(target) = packet.get_mut(2..4) else { return false };
    target.copy_from_slice(&handle.get().to_be_bytes());
    true
}
