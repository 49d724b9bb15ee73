#![allow(clippy::disallowed_methods, reason = "tests begin at some time")]

use super::*;

fn packet(sequence: u64) -> Packet {
    Packet { sequence, time: sequence * 960, payload: Arc::from([0u8; 4]), repaired: false }
}

fn sequences(jitter: &mut Jitter, now: Instant) -> Vec<Result<u64, u64>> {
    let mut steps = Vec::new();
    loop {
        match jitter.poll(now) {
            Step::Packet(packet) => steps.push(Ok(packet.sequence)),
            Step::Lost(count) => steps.push(Err(count)),
            Step::Wait | Step::Nothing => return steps,
        }
    }
}

#[test]
fn packets_in_order_are_not_delayed() {
    let now = Instant::now();
    let mut jitter = Jitter::default();
    for sequence in 100..200 {
        assert_eq!(jitter.insert(packet(sequence), now), Insertion::Held);
        assert_eq!(sequences(&mut jitter, now), [Ok(sequence)]);
    }
}

#[test]
fn a_gap_is_waited_for_and_then_given_up() {
    let now = Instant::now();
    let mut jitter = Jitter::default();
    jitter.insert(packet(1), now);
    jitter.insert(packet(3), now);
    assert_eq!(sequences(&mut jitter, now), [Ok(1)]);
    assert_eq!(jitter.poll(now), Step::Wait);
    assert_eq!(jitter.poll_timeout(), Some(now + jitter.patience()));
    let mut filled = Jitter::default();
    for sequence in [1, 3, 2] {
        filled.insert(packet(sequence), now);
    }
    assert_eq!(sequences(&mut filled, now), [Ok(1), Ok(2), Ok(3)]);
    assert_eq!(sequences(&mut jitter, now + MOST_PATIENCE), [Err(1), Ok(3)]);
    assert_eq!(jitter.insert(packet(2), now), Insertion::Late);
}

#[test]
fn one_that_is_there_is_a_duplicate() {
    let now = Instant::now();
    let mut jitter = Jitter::default();
    jitter.insert(packet(1), now);
    jitter.insert(packet(3), now);
    assert_eq!(jitter.insert(packet(3), now), Insertion::Duplicate);
}

#[test]
fn patience_follows_the_jitter_within_its_bounds() {
    let start = Instant::now();
    let mut jitter = Jitter::default();
    assert_eq!(jitter.patience(), LEAST_PATIENCE);
    for sequence in 0..100 {
        let late = Duration::from_millis(if sequence % 2 == 0 { 0 } else { 500 });
        jitter.insert(packet(sequence), start + Duration::from_millis(20 * sequence) + late);
    }
    assert_eq!(jitter.patience(), MOST_PATIENCE);
}

#[test]
fn held_packets_are_bounded() {
    let now = Instant::now();
    let mut jitter = Jitter::default();
    jitter.insert(packet(0), now);
    let mut most = 0;
    for sequence in 2..1_000 {
        jitter.insert(packet(sequence), now);
        let _ = sequences(&mut jitter, now);
        most = most.max(jitter.held());
    }
    assert_eq!(most, MAX_HELD);
}
