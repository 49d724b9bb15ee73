//! Codec, packetizer and depacketizer, and the reference's codec beside ours in the same run.
//!
//! `cargo bench -p datatrack --bench codec`. Prints medians of 201 samples, in nanoseconds per packet or frame.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]
// The crate reads no clock, but a benchmark has to.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::Instant as Clock;

use bytes::{Buf, Bytes, BytesMut};
use datatrack::Instant;
use datatrack::depacketizer::{Depacketizer, DepacketizerOptions, Outcome};
use datatrack::packet::{E2eeExtension, Extensions, Handle, Header, MTU, Marker};
use datatrack::packetizer::{Packetizer, PacketizerOptions};
use livekit_datatrack::__fuzz as theirs;

const SAMPLES: usize = 201;

/// Median of nanoseconds per call.
fn measure(mut call: impl FnMut()) -> f64 {
    let started = Clock::now();
    let mut rounds = 0_u32;
    while started.elapsed().as_micros() < 2_000 {
        call();
        rounds += 1;
    }
    let rounds = (rounds / 4).max(1);
    let mut samples: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let started = Clock::now();
            (0..rounds).for_each(|_| call());
            started.elapsed().as_nanos() as f64 / f64::from(rounds)
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[SAMPLES / 2]
}

fn main() {
    codec();
    frames();
}

fn codec() {
    let e2ee = Some(E2eeExtension { key_index: 3, iv: [7; 12] });
    println!("{:28}{:>10}{:>10}{:>8}", "codec, ns per packet", "theirs", "ours", "ratio");
    for (name, extensions) in [
        ("plain", Extensions::default()),
        ("timestamp", Extensions { e2ee: None, user_timestamp: Some(5) }),
        ("E2EE", Extensions { e2ee, user_timestamp: None }),
        ("E2EE and timestamp", Extensions { e2ee, user_timestamp: Some(5) }),
    ] {
        let header = Header {
            marker: Marker::Single,
            handle: Handle::new(7).unwrap(),
            sequence: 1,
            frame_number: 2,
            timestamp: 3,
            extensions,
        };
        let mut bytes = vec![0; header.len()];
        header.write(&mut bytes).unwrap();
        bytes.extend([1; 256]);
        let bytes = Bytes::from(bytes);

        let parse_theirs = measure(|| {
            black_box(theirs::Packet::deserialize(black_box(&bytes).clone()).unwrap());
        });
        let parse_ours = measure(|| {
            let mut packet = black_box(&bytes).clone();
            let (header, at) = Header::parse(&packet).unwrap();
            packet.advance(at);
            black_box((header, packet));
        });
        let parse_only = measure(|| {
            black_box(Header::parse(black_box(&bytes)).unwrap());
        });
        let clone = measure(|| {
            black_box(black_box(&bytes).clone());
        });
        let packet = theirs::Packet::deserialize(bytes.clone()).unwrap();
        let mut target = BytesMut::with_capacity(1_024);
        let write_theirs = measure(|| {
            target.clear();
            black_box(black_box(&packet).clone().serialize_into(&mut target).unwrap());
        });
        let mut out = Vec::with_capacity(1_024);
        let payload = &bytes[header.len()..];
        let write_ours = measure(|| {
            out.clear();
            out.resize(header.len(), 0);
            black_box(black_box(&header).write(&mut out));
            out.extend_from_slice(black_box(payload));
        });
        let mut array = [0; 40];
        let write_only = measure(|| {
            black_box(black_box(&header).write(black_box(&mut array)));
        });
        row(&format!("parse, {name}"), parse_theirs, parse_ours);
        row("  without the Bytes clone", parse_theirs - clone, parse_only);
        row(&format!("write, {name}"), write_theirs, write_ours);
        println!("{:28}{:>20.1}", "  header alone", write_only);
    }
}

fn row(name: &str, theirs: f64, ours: f64) {
    println!("{name:28}{theirs:>10.1}{ours:>10.1}{:>8.1}", theirs / ours);
}

fn frames() {
    println!();
    println!(
        "{:28}{:>10}{:>10}{:>12}{:>14}",
        "ns per frame", "memcpy", "packetize", "depacketize", "and copy out"
    );
    for size in [64, 256, 1_024, 15 * 1_024, 200 * 1_024, 1_024 * 1_024] {
        let payload = vec![7_u8; size];
        let mut packetizer = Packetizer::new(Handle::new(7).unwrap(), PacketizerOptions::default());
        let mut out = Vec::with_capacity(2 * 1_024 * 1_024);
        let copy = measure(|| {
            out.clear();
            out.extend_from_slice(black_box(&[0; 12]));
            out.extend_from_slice(black_box(&payload));
            black_box(&out);
        });
        let packetize = measure(|| {
            out.clear();
            packetizer.packetize(black_box(&payload), 0, Extensions::default(), 5, &mut out).unwrap();
            black_box(&out);
        });
        let packets: Vec<Bytes> = out.chunks(MTU).map(Bytes::copy_from_slice).collect();
        let mut target = vec![0; size];
        let depacketize = receive(&packets, |_| {});
        let copy_out = receive(&packets, |payload| {
            black_box(payload.copy_to(&mut target));
        });
        println!("{size:<28}{copy:>10.1}{packetize:>10.1}{depacketize:>12.1}{copy_out:>14.1}");
    }
}

/// Parses and assembles the packets of one frame repeatedly, each time under a new frame number.
fn receive(packets: &[Bytes], mut with: impl FnMut(&datatrack::Payload)) -> f64 {
    let mut depacketizer = Depacketizer::new(DepacketizerOptions::default());
    let mut number = 0_u16;
    measure(|| {
        number = number.wrapping_add(1);
        for packet in packets {
            let (mut header, at) = Header::parse(black_box(packet)).unwrap();
            header.frame_number = number;
            let mut payload = packet.clone();
            payload.advance(at);
            let outcome = depacketizer.handle_packet(&header, payload, Instant::ZERO);
            match black_box(outcome) {
                Outcome::Frame(frame) => with(&frame.payload),
                Outcome::Pending => {}
                Outcome::Dropped(reason) => panic!("{reason:?}"),
            }
        }
    })
}
