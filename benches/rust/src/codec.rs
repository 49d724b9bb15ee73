//! Reading and writing a packet's header alone.
#![expect(clippy::unwrap_used, reason = "a bench that fails says so and ends")]

use std::hint::black_box;

use bytes::{Buf, Bytes, BytesMut};
use datatrack::packet::{E2eeExtension, Extensions, Handle, Header, Marker};
use livekit_datatrack::__fuzz as theirs;

use crate::measure::{Contender, Plan, compare};

const PAYLOAD: usize = 256;

pub(crate) fn run(plan: &Plan) {
    let e2ee = Some(E2eeExtension { key_index: 3, iv: [7; 12] });
    for (case, extensions) in [
        ("plain", Extensions::default()),
        ("timestamp", Extensions { e2ee: None, user_timestamp: Some(5) }),
        ("E2EE", Extensions { e2ee, user_timestamp: None }),
        ("E2EE, timestamp", Extensions { e2ee, user_timestamp: Some(5) }),
    ] {
        let header = Header {
            marker: Marker::Single,
            handle: Handle::new(7).unwrap(),
            sequence: 1,
            frame_number: 2,
            timestamp: 3,
            extensions,
        };
        let mut packet = vec![0; header.len() + PAYLOAD];
        header.write(&mut packet).unwrap();
        let packet = Bytes::from(packet);
        // A clone makes the buffer shared, which costs once.
        drop(packet.clone());
        compare(
            plan,
            "parse",
            case,
            vec![clone(packet.clone()), parse(packet.clone()), their_parse(packet.clone())],
        );
        compare(
            plan,
            "write",
            case,
            vec![write(header), their_write(packet.clone()), their_serialize(packet)],
        );
    }
}

/// The harness's cost of providing a packet that can be consumed. It is not part of either codec.
fn clone(bytes: Bytes) -> Contender<'static> {
    Contender::simple("clone", move || {
        black_box(black_box(&bytes).clone());
    })
}

fn parse(bytes: Bytes) -> Contender<'static> {
    Contender::simple("ours", move || {
        let mut packet = black_box(&bytes).clone();
        let (header, payload_at) = Header::parse(&packet).unwrap();
        packet.advance(payload_at);
        black_box((header, packet));
    })
}

fn their_parse(bytes: Bytes) -> Contender<'static> {
    Contender::simple("reference", move || {
        black_box(theirs::Packet::deserialize(black_box(&bytes).clone()).unwrap());
    })
}

/// Writes header and payload into an existing buffer.
fn write(header: Header) -> Contender<'static> {
    let payload = [0; PAYLOAD];
    let mut target = vec![0; header.len() + PAYLOAD];
    Contender::simple("ours", move || {
        let len = black_box(&header).write(&mut target).unwrap();
        target[len..].copy_from_slice(black_box(&payload));
        black_box(&target);
    })
}

/// The same with the reference's codec.
fn their_write(bytes: Bytes) -> Contender<'static> {
    let mut target = BytesMut::with_capacity(bytes.len());
    let packet = theirs::Packet::deserialize(bytes).unwrap();
    Contender::simple("reference", move || {
        target.clear();
        black_box(&packet).clone().serialize_into(&mut target).unwrap();
        black_box(&target);
    })
}

/// The reference's codec into a new buffer, as its managers do it.
fn their_serialize(bytes: Bytes) -> Contender<'static> {
    let packet = theirs::Packet::deserialize(bytes).unwrap();
    Contender::simple("reference, as used", move || {
        black_box(black_box(&packet).clone().serialize());
    })
}
