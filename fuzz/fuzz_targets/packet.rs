//! Any bytes as a packet: read, written again, and read again.
#![no_main]

use datatrack::packet::{Handle, Header, PacketError, peek_handle, rewrite_handle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (header, payload_at) = match Header::parse(data) {
        Ok(parsed) => parsed,
        Err(error) => return check_error(data, error),
    };
    assert!(payload_at <= data.len());
    assert_eq!(payload_at > 12, data[0] & 0b100 != 0);
    assert_eq!(peek_handle(data), Some(header.handle));

    let mut written = [0; 40];
    let len = header.write(&mut written).expect("40 bytes hold any header");
    assert_eq!(len, header.len());
    assert_eq!(header.write(&mut vec![0; len - 1]), None);
    assert_eq!(Header::parse(&written[..len]), Ok((header, len)));
    // The written header is the shortest one. Only the length as it was encoded before April 2026 is two bytes shorter.
    assert!(
        len <= payload_at
            || payload_at == 14 + (usize::from(u16::from_be_bytes([data[12], data[13]])) + 1) * 4
    );

    let mut rewritten = data.to_vec();
    let handle = Handle::new(header.handle.get() ^ 0xffff).unwrap_or(header.handle);
    assert!(rewrite_handle(&mut rewritten, handle));
    assert_eq!(Header::parse(&rewritten), Ok((Header { handle, ..header }, payload_at)));
});

/// Checks that the details of an error are true.
fn check_error(data: &[u8], error: PacketError) {
    match error {
        PacketError::TooShort { len } => assert!(len == data.len() && len < 12),
        PacketError::UnsupportedVersion(version) => assert!(version != 0 && version == data[0] >> 5),
        PacketError::InvalidHandle => assert_eq!(data[2..4], [0, 0]),
        PacketError::MissingExtensionLength => assert!(data.len() < 14),
        PacketError::HeaderOverrun { needed, available } => {
            assert!(needed > available && available == data.len());
        }
        PacketError::MalformedExtension { tag, at } => assert_eq!(data[at], tag),
    }
}
