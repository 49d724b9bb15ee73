#![allow(clippy::unwrap_used)]

use super::*;

const IV: [u8; 12] = [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab];
const SEALED: E2eeExtension = E2eeExtension { key_index: 3, iv: IV };
const TIME: u64 = 0x0102_0304_0506_0708;

fn header(marker: Marker, extensions: Extensions) -> Header {
    Header {
        marker,
        handle: Handle::new(0x1234).unwrap(),
        sequence: 0x5678,
        frame_number: 0x9abc,
        timestamp: 0xdef0_1122,
        extensions,
    }
}

/// A packet with X set: base header, L, and the block after it.
fn extended(length: u16, block: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x1c, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend(block);
    packet
}

fn extensions_of(packet: &[u8]) -> Extensions {
    Header::parse(packet).unwrap().0.extensions
}

#[test]
fn a_header_without_extensions_is_12_known_bytes() {
    for (marker, flags) in
        [(Marker::Single, 0x18), (Marker::Start, 0x10), (Marker::Inter, 0), (Marker::Final, 0x08)]
    {
        let header = header(marker, Extensions::default());
        let mut bytes = [0xff; 13];
        assert_eq!(header.write(&mut bytes), Some(12));
        assert_eq!(
            bytes,
            [flags, 0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x11, 0x22, 0xff],
            "{marker:?}"
        );
        assert_eq!(Header::parse(&bytes), Ok((header, 12)));
    }
}

#[test]
fn extensions_are_e2ee_then_timestamp_then_padding() {
    let time = [1, 2, 3, 4, 5, 6, 7, 8];
    let sealed = [&[1, 13, 3][..], &IV].concat();
    for (extensions, block) in [
        (Extensions { e2ee: None, user_timestamp: Some(TIME) }, [&[0, 2, 2, 8][..], &time].concat()),
        (Extensions { e2ee: Some(SEALED), user_timestamp: None }, [&[0, 4][..], &sealed, &[0; 3]].concat()),
        (
            Extensions { e2ee: Some(SEALED), user_timestamp: Some(TIME) },
            [&[0, 6][..], &sealed, &[2, 8], &time, &[0]].concat(),
        ),
    ] {
        let header = header(Marker::Single, extensions);
        let mut bytes = [0xff; 41];
        let len = 12 + block.len();
        assert_eq!((header.len(), header.write(&mut bytes)), (len, Some(len)));
        assert_eq!(bytes[0], 0x1c);
        assert_eq!(bytes[12..len], block);
        assert_eq!(bytes[len], 0xff, "nothing is written after the header");
        assert_eq!(Header::parse(&bytes), Ok((header, len)));
    }
}

#[test]
fn header_lengths_are_12_24_32_and_40() {
    let len = |e2ee: Option<E2eeExtension>, user_timestamp| Extensions { e2ee, user_timestamp }.header_len();
    assert_eq!(len(None, None), BASE_HEADER_LEN);
    assert_eq!(len(None, Some(0)), 24);
    assert_eq!(len(Some(SEALED), None), 32);
    assert_eq!(len(Some(SEALED), Some(0)), MAX_HEADER_LEN);
}

#[test]
fn a_target_that_is_too_short_is_left_alone() {
    for extensions in [
        Extensions::default(),
        Extensions { e2ee: None, user_timestamp: Some(1) },
        Extensions { e2ee: Some(SEALED), user_timestamp: Some(1) },
    ] {
        let header = header(Marker::Start, extensions);
        let mut target = vec![0x55; header.len() - 1];
        assert_eq!(header.write(&mut target), None);
        assert!(target.iter().all(|&byte| byte == 0x55));
    }
}

#[test]
fn reserved_bits_are_ignored_on_reading_and_zero_on_writing() {
    let plain = header(Marker::Start, Extensions::default());
    let mut bytes = [0; 12];
    plain.write(&mut bytes).unwrap();
    let written = bytes;
    bytes[0] |= 0b11;
    bytes[1] = 0xff;
    let (read, _) = Header::parse(&bytes).unwrap();
    assert_eq!(read, plain);
    read.write(&mut bytes).unwrap();
    assert_eq!(bytes, written);
}

#[test]
fn malformed_packets_say_what_and_where() {
    let base = [0x18, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
    let with = |at: usize, byte: u8| {
        let mut packet = base;
        packet[at] = byte;
        packet.to_vec()
    };
    let cases = [
        (vec![], PacketError::TooShort { len: 0 }),
        (base[..11].to_vec(), PacketError::TooShort { len: 11 }),
        (with(0, 0x20), PacketError::UnsupportedVersion(1)),
        (with(0, 0xff), PacketError::UnsupportedVersion(7)),
        (with(3, 0), PacketError::InvalidHandle),
        (with(0, 0x1c), PacketError::MissingExtensionLength),
        ([&with(0, 0x1c)[..], &[0]].concat(), PacketError::MissingExtensionLength),
        (extended(0, &[]), PacketError::HeaderOverrun { needed: 16, available: 14 }),
        (extended(0, &[0]), PacketError::HeaderOverrun { needed: 16, available: 15 }),
        (extended(65_535, &[0; 9]), PacketError::HeaderOverrun { needed: 12 + 262_144, available: 23 }),
        (extended(0, &[9, 1]), PacketError::MalformedExtension { tag: 9, at: 14 }),
        (extended(1, &[9, 1, 0, 9, 2, 0]), PacketError::MalformedExtension { tag: 9, at: 17 }),
        (extended(1, &[2, 8, 0, 0, 0, 0]), PacketError::MalformedExtension { tag: 2, at: 14 }),
        (extended(1, &[0, 0, 1, 255, 0, 0]), PacketError::MalformedExtension { tag: 1, at: 16 }),
    ];
    for (packet, error) in cases {
        assert_eq!(Header::parse(&packet), Err(error), "{packet:?}");
    }
}

#[test]
fn the_first_thing_wrong_is_what_is_said() {
    // Version before handle before extensions, as in the other clients.
    let all_wrong = [0x3c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(Header::parse(&all_wrong), Err(PacketError::UnsupportedVersion(1)));
    let mut packet = all_wrong;
    packet[0] = 0x1c;
    assert_eq!(Header::parse(&packet), Err(PacketError::InvalidHandle));
    packet[3] = 1;
    assert_eq!(Header::parse(&packet), Err(PacketError::MissingExtensionLength));
}

#[test]
fn errors_read_well() {
    let error = PacketError::MalformedExtension { tag: 9, at: 17 };
    assert_eq!(error.to_string(), "the extension with tag 9 at byte 17 is longer than the extensions");
    let error = PacketError::HeaderOverrun { needed: 16, available: 14 };
    assert_eq!(error.to_string(), "the header takes 16 bytes and the packet has 14");
}

#[test]
fn unknown_extensions_are_skipped() {
    let packet = extended(4, &[77, 2, 9, 9, 2, 8, 0, 0, 0, 0, 0, 0, 0, 5, 255, 0, 0, 0]);
    assert_eq!(extensions_of(&packet), Extensions { e2ee: None, user_timestamp: Some(5) });
}

#[test]
fn a_longer_known_extension_gives_its_prefix() {
    let packet = extended(2, &[&[2, 8][..], &[0, 0, 0, 0, 0, 0, 0, 6]].concat());
    assert_eq!(extensions_of(&packet).user_timestamp, Some(6));
    let packet = extended(3, &[&[2, 12][..], &[0, 0, 0, 0, 0, 0, 0, 6], &[9; 4]].concat());
    assert_eq!(extensions_of(&packet).user_timestamp, Some(6));
    let packet = extended(5, &[&[1, 20, 3][..], &IV, &[9; 7]].concat());
    assert_eq!(extensions_of(&packet).e2ee, Some(SEALED));
}

#[test]
fn a_shorter_known_extension_is_skipped_like_an_unknown_one() {
    let packet = extended(4, &[2, 4, 9, 9, 9, 9, 1, 10, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
    assert_eq!(extensions_of(&packet), Extensions::default());
}

#[test]
fn the_last_of_a_repeated_extension_counts() {
    let one = [2, 8, 0, 0, 0, 0, 0, 0, 0, 1];
    let two = [2, 8, 0, 0, 0, 0, 0, 0, 0, 2];
    let packet = extended(5, &[&one[..], &two, &[0, 0]].concat());
    assert_eq!(extensions_of(&packet).user_timestamp, Some(2));
}

#[test]
fn padding_is_skipped_anywhere_with_the_byte_after_it() {
    let time = [2, 8, 0, 0, 0, 0, 0, 0, 0, 5];
    for (length, block) in [
        (3, [&[0; 4][..], &time].concat()),
        (3, [&time[..], &[0; 4]].concat()),
        (3, [&[0, 0x42][..], &time, &[0, 0x42]].concat()),
    ] {
        assert_eq!(extensions_of(&extended(length, &block)).user_timestamp, Some(5));
    }
    for words in [0, 1, 24] {
        let packet = extended(words, &vec![0; usize::from(words + 1) * 4 - 2]);
        assert_eq!(Header::parse(&packet).map(|(_, at)| at), Ok(packet.len()));
    }
}

#[test]
fn a_single_byte_at_the_end_of_the_extensions_is_ignored() {
    let mut packet = extended(6, &[&[1, 13, 3][..], &IV, &[2, 8, 0, 0, 0, 0, 0, 0, 0, 5], &[0x77]].concat());
    packet.extend(b"payload");
    let (header, at) = Header::parse(&packet).unwrap();
    assert_eq!(header.extensions, Extensions { e2ee: Some(SEALED), user_timestamp: Some(5) });
    assert_eq!(packet[at..], *b"payload");
}

#[test]
fn the_old_length_of_e2ee_alone_is_read() {
    // As clients wrote it before April 2026: L counts the 16 bytes after itself only.
    let mut packet = extended(3, &[&[1, 13, 3][..], &IV, &[0]].concat());
    assert_eq!(packet.len(), 30);
    packet.extend(b"payload");
    let (header, at) = Header::parse(&packet).unwrap();
    assert_eq!(header.extensions, Extensions { e2ee: Some(SEALED), user_timestamp: None });
    assert_eq!(packet[at..], *b"payload");
}

#[test]
fn the_old_length_is_not_assumed_of_what_is_merely_broken() {
    let sealed = [&[1, 13, 3][..], &IV].concat();
    let error = Err(PacketError::MalformedExtension { tag: 1, at: 14 });
    let not_padding = extended(3, &[&sealed[..], &[1]].concat());
    assert_eq!(Header::parse(&not_padding), error, "the byte after the value is not zero");
    let cut = extended(3, &sealed);
    assert_eq!(Header::parse(&cut), error, "the padding is missing");
    let longer = extended(2, &[&sealed[..], &[0; 9]].concat());
    assert_eq!(Header::parse(&longer), error, "more than two bytes beyond the block");
}

#[test]
fn the_old_length_with_a_timestamp_cannot_be_told_and_leaves_its_padding() {
    let mut old = extended(2, &[2, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0]);
    old.extend(b"payload");
    let (header, at) = Header::parse(&old).unwrap();
    assert_eq!(header.extensions.user_timestamp, Some(5));
    assert_eq!(old[at..], *b"\0\0payload");
}

#[test]
fn the_iv_is_not_shown_in_debug_output() {
    let shown = format!("{:?}", Extensions { e2ee: Some(SEALED), user_timestamp: None });
    assert!(shown.contains("key_index: 3"), "{shown}");
    assert!(!shown.contains("160") && !shown.contains("a0"), "{shown}");
}

#[test]
fn the_handle_can_be_read_and_rewritten_alone() {
    let original = header(Marker::Final, Extensions { e2ee: None, user_timestamp: Some(9) });
    let mut packet = [0; 30];
    original.write(&mut packet).unwrap();
    assert_eq!(peek_handle(&packet), Some(original.handle));
    let handle = Handle::new(200).unwrap();
    assert!(rewrite_handle(&mut packet, handle));
    assert_eq!(Header::parse(&packet), Ok((Header { handle, ..original }, 24)));
}

#[test]
fn the_handle_of_what_is_no_packet_is_not_touched() {
    let handle = Handle::new(200).unwrap();
    for bytes in [vec![0x18, 0, 0, 7], vec![0x38, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0], vec![0; 12]] {
        let mut packet = bytes.clone();
        assert_eq!(peek_handle(&packet), None);
        assert!(!rewrite_handle(&mut packet, handle));
        assert_eq!(packet, bytes);
    }
}
