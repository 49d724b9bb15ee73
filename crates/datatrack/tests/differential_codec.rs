//! Our codec compared with the `livekit-datatrack` crate's, in both directions and byte for byte.
#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use datatrack::packet::{E2eeExtension, Extensions, Handle, Header, Marker, PacketError};
use livekit_datatrack::__fuzz as theirs;
use proptest::prelude::*;

/// One of the reference's packets with both extensions, written by hand. Its types cannot be named from outside, so
/// tests make other packets by setting this one's fields.
fn template() -> theirs::Packet {
    let mut bytes = vec![0x1c, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 1, 13];
    bytes.extend([0; 13]);
    bytes.extend([2, 8]);
    bytes.extend([0; 9]);
    theirs::Packet::deserialize(bytes.into()).unwrap()
}

fn to_theirs(header: &Header, payload: &[u8]) -> theirs::Packet {
    let mut packet = template();
    packet.payload = Bytes::copy_from_slice(payload);
    let target = &mut packet.header;
    target.marker = match header.marker {
        Marker::Single => theirs::FrameMarker::Single,
        Marker::Start => theirs::FrameMarker::Start,
        Marker::Inter => theirs::FrameMarker::Inter,
        Marker::Final => theirs::FrameMarker::Final,
    };
    target.track_handle = header.handle.get().try_into().unwrap();
    target.sequence = header.sequence;
    target.frame_number = header.frame_number;
    target.timestamp = theirs::Timestamp::from_ticks(header.timestamp);
    match (&mut target.extensions.e2ee, header.extensions.e2ee) {
        (Some(target), Some(e2ee)) => (target.key_index, target.iv) = (e2ee.key_index, e2ee.iv),
        (target, _) => *target = None,
    }
    match (&mut target.extensions.user_timestamp, header.extensions.user_timestamp) {
        (Some(target), Some(timestamp)) => target.0 = timestamp,
        (target, _) => *target = None,
    }
    packet
}

fn to_ours(header: &theirs::Header) -> Header {
    Header {
        marker: match header.marker {
            theirs::FrameMarker::Single => Marker::Single,
            theirs::FrameMarker::Start => Marker::Start,
            theirs::FrameMarker::Inter => Marker::Inter,
            theirs::FrameMarker::Final => Marker::Final,
        },
        handle: Handle::new(header.track_handle.into()).unwrap(),
        sequence: header.sequence,
        frame_number: header.frame_number,
        timestamp: header.timestamp.as_ticks(),
        extensions: Extensions {
            e2ee: header.extensions.e2ee.map(|e2ee| E2eeExtension { key_index: e2ee.key_index, iv: e2ee.iv }),
            user_timestamp: header.extensions.user_timestamp.map(|timestamp| timestamp.0),
        },
    }
}

fn write(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; header.len()];
    assert_eq!(header.write(&mut packet), Some(header.len()));
    packet.extend(payload);
    packet
}

fn any_header() -> impl Strategy<Value = Header> {
    let marker = prop::sample::select(vec![Marker::Single, Marker::Start, Marker::Inter, Marker::Final]);
    let e2ee = prop::option::of(any::<(u8, [u8; 12])>());
    (marker, 1..=u16::MAX, any::<(u16, u16, u32)>(), e2ee, any::<Option<u64>>()).prop_map(
        |(marker, handle, (sequence, frame_number, timestamp), e2ee, user_timestamp)| Header {
            marker,
            handle: Handle::new(handle).unwrap(),
            sequence,
            frame_number,
            timestamp,
            extensions: Extensions {
                e2ee: e2ee.map(|(key_index, iv)| E2eeExtension { key_index, iv }),
                user_timestamp,
            },
        },
    )
}

/// Bytes that pass the first checks often enough to reach the later ones.
fn nearly_a_packet() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![6 => Just(0x1c_u8), 2 => 0..0x20_u8, 1 => any::<u8>()];
    let base = prop::collection::vec(any::<u8>(), 11);
    let length = prop_oneof![8 => 0..8_u16, 1 => any::<u16>()];
    let tag = prop_oneof![4 => 0..4_u8, 1 => any::<u8>()];
    let extension = (tag, prop_oneof![3 => 0..24_u8, 1 => Just(8), 1 => Just(13), 1 => any::<u8>()])
        .prop_flat_map(|(tag, len)| {
            // A value is as long as its length field says, or nearly.
            let len_here = prop_oneof![6 => Just(usize::from(len)), 1 => 0..24_usize];
            (Just(tag), Just(len), len_here.prop_flat_map(|len| prop::collection::vec(any::<u8>(), len)))
        })
        .prop_map(|(tag, len, value)| [&[tag, len][..], &value].concat());
    let rest = (
        prop::collection::vec(extension, 0..4),
        prop::collection::vec(prop::sample::select(&[0_u8, 0, 0, 7][..]), 0..40),
    );
    let rest = rest.prop_map(|(extensions, tail)| [extensions.concat(), tail].concat());
    (flags, base, length, any::<bool>(), rest, 0..60_usize, prop::bool::weighted(0.2)).prop_map(
        |(flags, mut base, length, fitting, rest, cut, do_cut)| {
            if base[2] == 0 {
                base[2] = u8::from(base[3] % 8 != 0);
            }
            let length = if fitting { (rest.len() / 4) as u16 } else { length };
            let mut packet = [&[flags][..], &base, &length.to_be_bytes(), &rest].concat();
            if do_cut {
                packet.truncate(cut);
            }
            packet
        },
    )
}

/// Whether the reference's error corresponds to ours. Its types cannot be named, but its texts can.
fn is_same_error(theirs: &str, ours: &PacketError) -> bool {
    match ours {
        PacketError::TooShort { .. } => theirs == "too short to contain a valid header",
        PacketError::UnsupportedVersion(version) => theirs == format!("unsupported version {version}"),
        PacketError::InvalidHandle => theirs.starts_with("invalid track handle"),
        PacketError::MissingExtensionLength => theirs == "extension word indicator is missing",
        PacketError::HeaderOverrun { .. } => theirs == "header exceeds total packet length",
        PacketError::MalformedExtension { tag, .. } => {
            theirs == format!("extension with tag {tag} is malformed")
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    #[test]
    fn both_write_the_same_bytes(header in any_header(), payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let ours = write(&header, &payload);
        prop_assert_eq!(&ours[..], &to_theirs(&header, &payload).serialize()[..]);
    }

    #[test]
    fn each_reads_what_the_other_wrote(
        header in any_header(),
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let read = theirs::Packet::deserialize(write(&header, &payload).into()).unwrap();
        prop_assert_eq!(to_ours(&read.header), header);
        prop_assert_eq!(&read.payload[..], &payload[..]);

        let packet = to_theirs(&header, &payload).serialize();
        let (read, payload_at) = Header::parse(&packet).unwrap();
        prop_assert_eq!(read, header);
        prop_assert_eq!(&packet[payload_at..], &payload[..]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50_000, ..ProptestConfig::default() })]

    #[test]
    fn both_accept_and_reject_the_same_bytes(packet in nearly_a_packet()) {
        let read = theirs::Packet::deserialize(packet.clone().into());
        match (Header::parse(&packet), read) {
            (Ok((header, payload_at)), Ok(theirs)) => {
                prop_assert_eq!(header, to_ours(&theirs.header));
                prop_assert_eq!(&packet[payload_at..], &theirs.payload[..]);
            }
            (Err(ours), Err(theirs)) => {
                prop_assert!(is_same_error(&theirs.to_string(), &ours), "{} / {}", theirs, ours);
            }
            // There is one exception. A value that is one or two bytes too long has the length as it was encoded before
            // April 2026. With today's length and its padding both must read the same.
            (Ok((header, payload_at)), Err(theirs)) => {
                prop_assert!(theirs.to_string().ends_with("is malformed"), "{}", theirs);
                let length = u16::from_be_bytes([packet[12], packet[13]]);
                prop_assert_eq!(payload_at, 14 + (usize::from(length) + 1) * 4);
                let (block, payload) = (&packet[14..payload_at], &packet[payload_at..]);
                let today = [&packet[..12], &(length + 1).to_be_bytes(), block, &[0, 0], payload].concat();
                let read = theirs::Packet::deserialize(today.into()).unwrap();
                prop_assert_eq!(header, to_ours(&read.header));
                prop_assert_eq!(payload, &read.payload[..]);
            }
            (Err(ours), Ok(_)) => prop_assert!(false, "only we reject: {}", ours),
        }
    }
}

#[test]
fn the_old_extension_length_is_the_one_thing_that_only_we_read() {
    let mut packet = vec![0x1c, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 13, 2];
    packet.extend([9; 12]);
    packet.push(0);
    assert!(theirs::Packet::deserialize(packet.clone().into()).is_err());
    let (header, payload_at) = Header::parse(&packet).unwrap();
    assert_eq!(header.extensions.e2ee, Some(E2eeExtension { key_index: 2, iv: [9; 12] }));
    assert_eq!(payload_at, 30);
}
