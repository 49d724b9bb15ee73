//! What sealing and opening a frame costs compared with the bare primitive: `cargo bench -p datatrack --bench e2ee`.
//!
//! Prints medians. The contenders of a row take turns, so that a busy machine slows all of them alike. A ratio follows
//! each figure. The right columns are the work of the publisher and of the subscriber. Opening allocates the
//! plaintext's buffer; the bare primitive is given one.
#![allow(clippy::disallowed_types, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::Bytes;
use datatrack::Payload;
use datatrack::e2ee::{
    FrameKey, FrameSealer, KeyDerivation, KeyOptions, KeyScope, OpenOutcome, OpeningKeys, SealingKeys,
    SystemIvRandom, TAG_LEN,
};

const SIZES: [(usize, &str); 6] = [
    (64, "64 B"),
    (256, "256 B"),
    (1 << 10, "1 KiB"),
    (15 << 10, "15 KiB"),
    (200 << 10, "200 KiB"),
    (1 << 20, "1 MiB"),
];
const ROUNDS: usize = 101;
const ROUND: Duration = Duration::from_millis(2);
/// Payload bytes of one packet of an encrypted frame.
const PIECE: usize = 15_968;

type Case<'a> = (&'static str, Box<dyn FnMut() + 'a>);

fn measure(cases: &mut [Case<'_>]) -> Vec<f64> {
    let counts: Vec<u32> = cases
        .iter_mut()
        .map(|(_, run)| {
            // The first random bytes of a process wait for the generator's seed. That is not part of a frame's cost.
            run();
            let start = Instant::now();
            let mut count = 0;
            while start.elapsed() < ROUND {
                run();
                count += 1;
            }
            count
        })
        .collect();
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (((_, run), &count), times) in cases.iter_mut().zip(&counts).zip(&mut times) {
            let start = Instant::now();
            (0..count).for_each(|_| run());
            times.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(count));
        }
    }
    times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[ROUNDS / 2]
        })
        .collect()
}

fn print(title: &str, rows: &[(&str, Vec<f64>)], columns: &[&str]) {
    println!("\n{title}, ns per frame (ratio to the first column)\n");
    println!("{:<8}{}", "", columns.iter().map(|name| format!("{name:>28}")).collect::<String>());
    for (size, row) in rows {
        let cells =
            row.iter().map(|time| format!("{:>20.0} ({:>4.2}x)", time, time / row[0])).collect::<String>();
        println!("{size:<8}{cells}");
    }
}

fn main() {
    let options = KeyOptions::shared(KeyDerivation::Hkdf);
    let mut keys = SealingKeys::new(options);
    keys.set_key(0, &b"bench"[..]).expect("a good key");
    let derivation = keys.poll_derivation().expect("it was asked for");
    keys.handle_derived(derivation.run());
    let key: FrameKey = keys.current().expect("it is derived").1.clone();
    let mut opening = OpeningKeys::new(options);
    opening.set_key(KeyScope::Shared, 0, &b"bench"[..]).expect("a good key");
    let derivation = opening.poll_derivation().expect("it was asked for");
    opening.handle_derived(derivation.run(), datatrack::Instant::ZERO);
    let bare = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).expect("16 bytes"));
    let iv = [9; 12];
    let nonce = || Nonce::assume_unique_for_key(iv);

    let (mut sealing_rows, mut opening_rows) = (Vec::new(), Vec::new());
    for (size, name) in SIZES {
        let payload = vec![0x5A; size];
        let mut buffers: [Vec<u8>; 4] = std::array::from_fn(|_| vec![0; size + TAG_LEN]);
        let [first, second, third, fourth] = &mut buffers;
        let (mut sealer, mut sealer_into) = (FrameSealer::new(), FrameSealer::new());
        let (mut random, mut random_into) = (SystemIvRandom::new(), SystemIvRandom::new());
        let mut cases: Vec<Case<'_>> = vec![
            (
                "bare, in place",
                Box::new(|| {
                    let tag =
                        bare.seal_in_place_separate_tag(nonce(), Aad::empty(), &mut first[..size]).unwrap();
                    black_box(tag.as_ref());
                }),
            ),
            ("FrameKey, in place", Box::new(|| key.seal_in_place(&iv, black_box(second)).unwrap())),
            (
                "FrameSealer, in place",
                Box::new(|| {
                    black_box(sealer.seal_in_place(&keys, &mut random, third).unwrap());
                }),
            ),
            (
                "FrameSealer, from payload",
                Box::new(|| {
                    black_box(sealer_into.seal_into(&keys, &mut random_into, &payload, fourth).unwrap());
                }),
            ),
        ];
        sealing_rows.push((name, measure(&mut cases)));

        let mut ours = [&payload[..], &[0; TAG_LEN]].concat();
        key.seal_in_place(&iv, &mut ours).unwrap();
        let mut theirs = payload.clone();
        let tag = bare.seal_in_place_separate_tag(nonce(), Aad::empty(), &mut theirs).unwrap();
        let (mut room, mut own_room) = (vec![0; size], vec![0; size]);
        let whole = Bytes::from(ours.clone());
        let one = Payload::from(whole.clone());
        let many = Payload::from_pieces(
            (0..whole.len())
                .step_by(PIECE)
                .map(|at| whole.slice(at..whole.len().min(at + PIECE)))
                .collect::<Vec<_>>(),
        );
        let opening = std::cell::RefCell::new(&mut opening);
        let open = |sealed: &Payload| {
            let outcome = opening.borrow_mut().open("alice", 0, &iv, sealed, datatrack::Instant::ZERO);
            assert!(matches!(black_box(outcome), OpenOutcome::Opened(_)));
        };
        let mut cases: Vec<Case<'_>> = vec![
            (
                "bare, gathered",
                Box::new(|| {
                    bare.open_separate_gather(nonce(), Aad::empty(), &theirs, tag.as_ref(), &mut room)
                        .unwrap();
                }),
            ),
            (
                "FrameKey, into a buffer",
                Box::new(|| key.open_into(&iv, &ours, black_box(&mut own_room)).unwrap()),
            ),
            ("OpeningKeys, one piece", Box::new(|| open(&one))),
            ("OpeningKeys, in packets", Box::new(|| open(&many))),
        ];
        opening_rows.push((name, measure(&mut cases)));
    }
    print(
        "Sealing",
        &sealing_rows,
        &["bare", "FrameKey in place", "FrameSealer in place", "FrameSealer from payload"],
    );
    print(
        "Opening",
        &opening_rows,
        &["bare", "FrameKey into a buffer", "OpeningKeys one piece", "OpeningKeys packets"],
    );
}
