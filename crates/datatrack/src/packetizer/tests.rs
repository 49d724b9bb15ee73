#![allow(clippy::unwrap_used)]

use super::*;
use crate::packet::E2eeExtension;

const PLAIN: Extensions = Extensions { e2ee: None, user_timestamp: None };
const TIMED: Extensions = Extensions { e2ee: None, user_timestamp: Some(0) };
const SEALED: Extensions =
    Extensions { e2ee: Some(E2eeExtension { key_index: 1, iv: [1; 12] }), user_timestamp: None };
const BOTH: Extensions = Extensions { user_timestamp: Some(7), ..SEALED };

fn packetizer() -> Packetizer {
    Packetizer::new(Handle::new(9).unwrap(), PacketizerOptions::default())
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8)) as u8 | 1).collect()
}

/// The parsed headers of a frame's packets, and their payloads joined.
fn read(out: &[u8], layout: &FrameLayout) -> (Vec<Header>, Vec<u8>) {
    let mut headers = Vec::new();
    let mut payload = Vec::new();
    for index in 0..layout.packets {
        let packet = &out[layout.range(index).unwrap()];
        let (header, at) = Header::parse(packet).unwrap();
        assert_eq!(at, layout.header_len);
        headers.push(header);
        payload.extend(&packet[at..]);
    }
    (headers, payload)
}

#[test]
fn a_frame_round_trips_whatever_its_size() {
    for extensions in [PLAIN, TIMED, SEALED, BOTH] {
        let room = MTU - extensions.header_len();
        for size in [0, 1, room - 1, room, room + 1, 2 * room, 2 * room + 1, 5 * room + 17, 128 * room] {
            for trailer in [0, 16] {
                let mut packetizer = packetizer();
                let Some(payload) = size.checked_sub(trailer).map(bytes) else { continue };
                let mut out = Vec::new();
                let layout = packetizer.packetize(&payload, trailer, extensions, 5, &mut out).unwrap();
                assert_eq!(usize::from(layout.packets), size.div_ceil(room).max(1));
                assert_eq!(layout.total_len, out.len());
                let (headers, mut read) = read(&out, &layout);
                assert!(headers.iter().all(|header| header.extensions == extensions
                    && (header.timestamp, header.frame_number) == (5, 0)));
                let tag = read.split_off(payload.len());
                assert!(read == payload && tag == vec![0; trailer], "{size} {trailer}");
            }
        }
    }
}

#[test]
fn every_packet_but_the_last_is_exactly_as_long_as_the_mtu() {
    let mut out = vec![0xee; 3];
    let layout = packetizer().packetize(&bytes(50_000), 0, PLAIN, 0, &mut out).unwrap();
    assert_eq!(layout.packets, 4);
    let ranges: Vec<_> = (0..layout.packets).map(|index| layout.range(index).unwrap()).collect();
    assert_eq!(ranges, [0..16_000, 16_000..32_000, 32_000..48_000, 48_000..50_048]);
    assert_eq!(layout.range(4), None);
    assert_eq!(layout.payload_range_of_single(), None);
    assert_eq!(out[..3], [0xee; 3], "what was there before stays");
    assert_eq!(out.len(), 3 + layout.total_len);
}

#[test]
fn markers_are_start_inters_and_final_or_single() {
    let mut out = Vec::new();
    let layout = packetizer().packetize(&bytes(60_000), 0, PLAIN, 0, &mut out).unwrap();
    let markers: Vec<_> = read(&out, &layout).0.iter().map(|header| header.marker).collect();
    assert_eq!(markers, [Marker::Start, Marker::Inter, Marker::Inter, Marker::Final]);
    out.clear();
    let layout = packetizer().packetize(&bytes(20_000), 0, PLAIN, 0, &mut out).unwrap();
    let markers: Vec<_> = read(&out, &layout).0.iter().map(|header| header.marker).collect();
    assert_eq!(markers, [Marker::Start, Marker::Final]);
    out.clear();
    let layout = packetizer().packetize(&bytes(10), 0, PLAIN, 0, &mut out).unwrap();
    assert_eq!(read(&out, &layout).0[0].marker, Marker::Single);
}

#[test]
fn an_empty_frame_is_one_packet() {
    let mut out = Vec::new();
    let layout = packetizer().packetize(&[], 0, TIMED, 3, &mut out).unwrap();
    assert_eq!((layout.packets, layout.total_len), (1, 24));
    assert_eq!(layout.payload_range_of_single(), Some(24..24));
    // With E2EE the payload is the authentication tag alone.
    out.clear();
    let layout = packetizer().packetize(&[], 16, SEALED, 3, &mut out).unwrap();
    assert_eq!((layout.packets, layout.payload_range_of_single()), (1, Some(32..48)));
}

#[test]
fn numbers_start_at_0_and_wrap_after_65535() {
    let mut packetizer = packetizer();
    let mut out = Vec::new();
    let payload = bytes(20_000);
    let mut sequence = 0_u16;
    for frame in 0..70_000_u32 {
        out.clear();
        // Frames of two packets around the wraps of both numbers, too.
        let payload = if frame % 64 == 0 || frame > 65_500 { &payload[..] } else { &[] };
        let layout = packetizer.packetize(payload, 0, PLAIN, 0, &mut out).unwrap();
        for header in read(&out, &layout).0 {
            assert_eq!((header.frame_number, header.sequence), (frame as u16, sequence));
            sequence = sequence.wrapping_add(1);
        }
    }
}

#[test]
fn what_is_too_large_changes_nothing() {
    let options = PacketizerOptions { max_packets_per_frame: 2 };
    let mut packetizer = Packetizer::new(Handle::new(1).unwrap(), options);
    for (extensions, max) in [(PLAIN, 31_976), (TIMED, 31_952), (SEALED, 31_936), (BOTH, 31_920)] {
        assert_eq!(packetizer.max_frame_len(extensions.header_len()), max);
        let mut out = vec![1, 2, 3];
        let error = packetizer.packetize(&bytes(max - 15), 16, extensions, 0, &mut out).unwrap_err();
        assert_eq!(error, FrameTooLarge { size: max + 1, max });
        let error = packetizer.packetize(&[], usize::MAX, extensions, 0, &mut out).unwrap_err();
        assert_eq!(error.size, usize::MAX);
        assert_eq!(out, [1, 2, 3]);
    }
    let mut out = Vec::new();
    let layout = packetizer.packetize(&bytes(31_976), 0, PLAIN, 0, &mut out).unwrap();
    let first = read(&out, &layout).0[0];
    assert_eq!((first.sequence, first.frame_number), (0, 0), "no number was used up");
}

#[test]
fn by_default_a_frame_has_what_livekits_clients_can_assemble() {
    let packetizer = packetizer();
    assert_eq!(packetizer.max_frame_len(PLAIN.header_len()), 2_046_464);
    assert_eq!(packetizer.max_frame_len(SEALED.header_len()), 2_043_904);
}

#[test]
fn the_limit_in_packets_is_brought_into_range() {
    for (asked, given) in [(0, 1), (1, 1), (32_767, 32_767), (u16::MAX, 32_767)] {
        let options = PacketizerOptions { max_packets_per_frame: asked };
        let packetizer = Packetizer::new(Handle::new(1).unwrap(), options);
        assert_eq!(packetizer.max_frame_len(12), given * 15_988);
    }
}
