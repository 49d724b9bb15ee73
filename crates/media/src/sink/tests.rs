#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "tests begin at some time")]

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::jitter::MAX_HELD;

const RATE: u32 = 48_000;
const STEP: Duration = Duration::from_millis(20);

/// A codec of packets of 20 ms whose samples all have the value of the packet's first byte. Repaired samples have the
/// negative value of the next packet's second byte, concealed ones are −1.
struct Plain;

impl Decoder for Plain {
    fn decode(&mut self, payload: &[u8], pcm: &mut Vec<i16>) -> Result<u32, DecodeError> {
        let &[value, _] = payload else { return Err(DecodeError) };
        pcm.resize(pcm.len() + 960, i16::from(value));
        Ok(960)
    }

    fn repair(&mut self, next: &[u8], ticks: u32, pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
        let &[_, before] = next else { return Err(DecodeError) };
        pcm.resize(pcm.len() + ticks as usize, -i16::from(before));
        Ok(())
    }

    fn conceal(&mut self, ticks: u32, pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
        pcm.resize(pcm.len() + ticks as usize, -1);
        Ok(())
    }

    fn reset(&mut self) {}
}

fn sink(now: Instant) -> Sink {
    Sink::new(SinkOptions { sample_rate: RATE, channels: 1, frame: 480 }, Box::new(Plain), now)
}

fn packet(sequence: u8) -> Packet {
    let payload: [u8; 2] = [sequence, sequence.wrapping_sub(1)];
    Packet {
        sequence: u64::from(sequence),
        time: u64::from(sequence) * 960,
        payload: Arc::from(payload),
        repaired: false,
    }
}

/// The value of each frame that is there.
fn values(sink: &mut Sink) -> Vec<i16> {
    std::iter::from_fn(|| sink.read()).map(|frame| frame.first().copied().unwrap_or_default()).collect()
}

fn closes(stats: SinkStats) -> bool {
    let of_packets = stats.decoded
        + stats.late
        + stats.duplicate
        + stats.invalid
        + stats.surplus
        + stats.discarded
        + stats.undecryptable
        + stats.held;
    stats.received == of_packets && stats.produced == stats.delivered + stats.dropped + stats.queued
}

#[test]
fn a_packet_in_order_is_decoded_on_arrival() {
    let now = Instant::now();
    let mut sink = sink(now);
    for sequence in 1..=5 {
        sink.handle_packet(packet(sequence), now + STEP * u32::from(sequence));
        assert_eq!(values(&mut sink), [i16::from(sequence); 2]);
    }
    assert_eq!(sink.stats().samples_decoded, 5 * 960);
}

#[test]
fn a_lost_packet_is_repaired_by_the_next_one_and_those_before_it_are_concealed() {
    let now = Instant::now();
    let mut sink = sink(now);
    sink.handle_packet(packet(1), now);
    sink.handle_packet(packet(4), now + STEP);
    assert_eq!(values(&mut sink), [1, 1]);
    let due = sink.poll_timeout();
    assert!(due > now + STEP && due < now + 5 * STEP);
    sink.handle_timeout(due);
    assert_eq!(values(&mut sink), [-1, -1, -3, -3, 4, 4]);
    let stats = sink.stats();
    assert_eq!((stats.lost, stats.samples_concealed), (2, 2 * 960));
    // One that comes after all is not heard twice.
    sink.handle_packet(packet(2), due);
    assert_eq!(values(&mut sink), [0; 0]);
    assert!(closes(sink.stats()));
}

#[test]
fn silence_takes_the_place_of_what_does_not_come() {
    let now = Instant::now();
    let mut sink = sink(now);
    sink.handle_packet(packet(1), now);
    assert_eq!(values(&mut sink), [1, 1]);
    let mut at = now;
    while at < now + Duration::from_secs(1) {
        at = sink.poll_timeout();
        sink.handle_timeout(at);
    }
    let silence = values(&mut sink);
    assert!((90..=100).contains(&silence.len()) && silence.iter().all(|&value| value == 0), "{silence:?}");
    // Packets that follow a pause of the sender: nothing is missing.
    let mut next = packet(2);
    next.time += 48_000;
    sink.handle_packet(next, at);
    assert_eq!(values(&mut sink), [2, 2]);
    assert_eq!(sink.stats().samples_concealed, 0);
}

#[test]
fn a_gap_that_silence_has_filled_is_not_concealed_again() {
    let now = Instant::now();
    let mut sink = sink(now);
    sink.handle_packet(packet(1), now);
    sink.handle_timeout(now + 10 * STEP);
    values(&mut sink);
    sink.handle_packet(packet(9), now + 10 * STEP);
    sink.handle_timeout(now + 20 * STEP);
    assert_eq!(sink.stats().samples_concealed, 0);
}

#[test]
fn frames_that_nothing_reads_are_bounded_and_the_newest_stay() {
    let now = Instant::now();
    let mut sink = sink(now);
    for sequence in 1..=200 {
        sink.handle_packet(packet(sequence), now + STEP * u32::from(sequence));
    }
    let stats = sink.stats();
    let most = u64::try_from(MOST_BUFFERED.as_millis()).unwrap() / 10;
    assert_eq!((stats.queued, stats.dropped), (most, 400 - most));
    assert_eq!(values(&mut sink).last(), Some(&200));
    assert!(closes(sink.stats()));
}

#[test]
fn of_long_frames_two_may_wait() {
    let now = Instant::now();
    let options = SinkOptions { sample_rate: RATE, channels: 1, frame: RATE as usize };
    let mut sink = Sink::new(options, Box::new(Plain), now);
    for sequence in 1..=200 {
        sink.handle_packet(packet(sequence), now + STEP * u32::from(sequence));
    }
    let stats = sink.stats();
    assert_eq!((stats.queued, stats.dropped), (2, 2));
}

#[test]
fn a_sender_of_too_much_is_decoded_for_a_second() {
    let now = Instant::now();
    let mut sink = sink(now);
    for sequence in 1..=200 {
        sink.handle_packet(packet(sequence), now);
    }
    let stats = sink.stats();
    let most = u64::try_from(MOST_SKEW.as_millis() / STEP.as_millis()).unwrap();
    assert_eq!((stats.decoded, stats.surplus), (most, 200 - most));
    assert!(closes(stats));
}

#[test]
fn what_a_sender_of_too_much_leaves_out_counts_too() {
    let now = Instant::now();
    let mut sink = sink(now);
    for sequence in 1..=120 {
        sink.handle_packet(packet(2 * sequence), now);
    }
    let stats = sink.stats();
    assert!(stats.surplus > 0 && stats.samples_concealed > 0);
    // The last packet may begin just before the limit, with what is missing before it.
    let most = u64::from(RATE) * u64::try_from((MOST_SKEW + 2 * STEP).as_millis()).unwrap() / 1_000;
    assert!(stats.samples_decoded + stats.samples_concealed <= most);
    assert!(closes(stats));
}

#[test]
fn a_stream_that_starts_anew_close_behind_is_heard_after_a_run_of_late_packets() {
    let now = Instant::now();
    let mut sink = sink(now);
    for sequence in 0..20 {
        sink.handle_packet(packet(100 + sequence), now);
    }
    values(&mut sink);
    let late = u8::try_from(MAX_HELD).unwrap() + 1;
    for sequence in 0..late {
        sink.handle_packet(packet(sequence), now);
    }
    assert_eq!((values(&mut sink), sink.stats().late), (vec![], u64::from(late)));
    sink.handle_packet(packet(late), now);
    assert_eq!(values(&mut sink), [i16::from(late); 2]);
}

#[test]
fn what_cannot_be_decoded_is_counted() {
    let now = Instant::now();
    let mut sink = sink(now);
    sink.handle_packet(Packet { payload: Arc::from([0u8; 0]), ..packet(1) }, now);
    assert_eq!((sink.stats().invalid, sink.has_frames()), (1, false));
    assert!(closes(sink.stats()));
}

#[test]
fn a_stream_that_starts_anew_is_heard_at_once() {
    let now = Instant::now();
    let mut sink = sink(now);
    sink.handle_packet(packet(10), now);
    sink.handle_packet(packet(12), now);
    values(&mut sink);
    // Another sequence of numbers, far away.
    sink.handle_packet(Packet { sequence: 1 << 40, ..packet(7) }, now);
    assert_eq!(values(&mut sink), [7, 7]);
    // The same by the owner's word, within the window of the numbers before.
    sink.restart();
    sink.handle_packet(packet(3), now);
    assert_eq!(values(&mut sink), [3, 3]);
    let stats = sink.stats();
    assert_eq!((stats.discarded, stats.lost), (1, 0));
    assert!(closes(stats));
}

#[test]
fn a_long_stop_of_the_clock_makes_a_second_of_silence_at_most() {
    let now = Instant::now();
    let mut sink = sink(now);
    sink.handle_timeout(now + Duration::from_secs(3_600));
    assert!(sink.stats().samples_silence <= MOST_SKEW.as_secs() * u64::from(RATE));
}

#[test]
fn a_packet_that_cannot_be_decrypted_is_as_good_as_lost() {
    let now = Instant::now();
    let mut sink = sink(now);
    sink.handle_packet(packet(1), now);
    sink.handle_undecryptable();
    sink.handle_packet(packet(3), now + 2 * STEP);
    sink.handle_timeout(now + 2 * STEP + Duration::from_millis(40));
    assert_eq!(values(&mut sink), [1, 1, -2, -2, 3, 3]);
    let stats = sink.stats();
    assert_eq!((stats.received, stats.decoded, stats.undecryptable, stats.lost), (3, 2, 1, 1));
    assert!(closes(stats));
}

#[test]
fn a_packet_that_a_later_one_repeats_fills_its_place_and_is_counted() {
    let now = Instant::now();
    let mut sink = sink(now);
    sink.handle_packet(packet(1), now);
    sink.handle_packet(packet(3), now + 2 * STEP);
    sink.handle_packet(Packet { repaired: true, ..packet(2) }, now + 2 * STEP);
    assert_eq!(values(&mut sink), [1, 1, 2, 2, 3, 3]);
    let stats = sink.stats();
    assert_eq!((stats.received, stats.repaired, stats.lost, stats.samples_concealed), (3, 1, 0, 0));
    assert!(closes(stats));
}

proptest! {
    /// Whatever arrives in whatever order and at whatever time: the counters close, frames are whole and in bounds, and
    /// the sink asks for a time to come.
    #[test]
    fn counters_close(
        packets in proptest::collection::vec((0u64..200, 0u64..400_000, 0usize..4, 0u64..80), 0..300),
    ) {
        let mut now = Instant::now();
        let mut sink = sink(now);
        for (sequence, time, length, wait) in packets {
            now += Duration::from_millis(wait);
            let payload = Arc::from(vec![1u8; length]);
            if length == 3 && wait % 2 == 0 {
                sink.handle_undecryptable();
            } else {
                sink.handle_packet(Packet { sequence, time, payload, repaired: wait % 5 == 0 }, now);
            }
            if wait % 3 == 0 {
                sink.handle_timeout(now);
                prop_assert!(sink.poll_timeout() > now);
            }
            if wait % 7 == 0 && let Some(frame) = sink.read() {
                prop_assert_eq!(frame.len(), 480);
            }
            let stats = sink.stats();
            prop_assert!(closes(stats), "{:?}", stats);
            prop_assert!(stats.queued <= 100 && stats.held <= crate::MAX_HELD as u64 + 1);
            let samples = stats.samples_decoded + stats.samples_concealed + stats.samples_silence;
            prop_assert_eq!(samples / 480, stats.produced);
        }
    }
}
