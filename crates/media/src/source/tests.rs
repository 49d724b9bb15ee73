#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "tests begin at some time")]

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const OPTIONS: SourceOptions =
    SourceOptions { sample_rate: 48_000, channels: 1, queue: Duration::from_secs(1) };

/// So many ms of samples with that value.
fn sound(ms: usize, value: i16) -> Vec<i16> {
    vec![value; ms * 48]
}

/// All units from `now` on for so long, with their times in ms after `now`.
fn units(source: &mut Source, now: Instant, during: Duration) -> Vec<(u128, Unit)> {
    let mut units = Vec::new();
    while let Some(due) = source.poll_timeout().filter(|&due| due <= now + during) {
        if let Some(unit) = source.poll(due.max(now)) {
            units.push((due.saturating_duration_since(now).as_millis(), unit));
        }
    }
    units
}

fn is_silent(unit: &Unit) -> bool {
    unit.pcm.iter().all(|&sample| sample == 0)
}

#[test]
fn what_is_captured_at_once_is_due_in_steps_of_20_ms() {
    let now = Instant::now();
    let mut source = Source::new(OPTIONS, now).unwrap();
    assert_eq!(source.capture(&sound(100, 7), now), 4_800);
    assert_eq!(source.queued(), 100 * MS);
    let sent = units(&mut source, now, 99 * MS);
    assert_eq!(sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 20, 40, 60, 80]);
    assert_eq!(sent.iter().map(|(_, unit)| unit.time).collect::<Vec<_>>(), [0, 960, 1_920, 2_880, 3_840]);
    assert!(sent.iter().all(|(_, unit)| unit.pcm == sound(20, 7)));
    assert_eq!(
        sent.iter().map(|(_, unit)| unit.start).collect::<Vec<_>>(),
        [true, false, false, false, false]
    );
    assert!(source.is_empty());
}

#[test]
fn a_late_call_is_made_up_for() {
    let now = Instant::now();
    let mut source = Source::new(OPTIONS, now).unwrap();
    source.capture(&sound(200, 7), now);
    assert!(source.poll(now).is_some());
    // The machine was busy for 70 ms: three units are due at once, and the next one is not.
    let late = now + 75 * MS;
    assert_eq!((0..9).filter(|_| source.poll(late).is_some()).count(), 3);
    assert_eq!(source.poll_timeout(), Some(now + 80 * MS));
}

#[test]
fn after_the_machine_slept_the_deadlines_begin_anew() {
    let now = Instant::now();
    let mut source = Source::new(OPTIONS, now).unwrap();
    source.capture(&sound(900, 7), now);
    let later = now + 60_000 * MS;
    assert_eq!((0..99).filter(|_| source.poll(later).is_some()).count(), 1);
    assert_eq!(source.poll_timeout(), Some(later + 20 * MS));
}

#[test]
fn in_real_time_a_unit_is_due_when_it_is_complete() {
    let now = Instant::now();
    let mut source = Source::new(OPTIONS, now).unwrap();
    let mut sent = Vec::new();
    // Pieces of 10 ms, of which each third one comes 5 ms late.
    for piece in 0..60u32 {
        let at = now + piece * 10 * MS + if piece % 3 == 2 { 5 * MS } else { Duration::ZERO };
        assert_eq!(source.capture(&sound(10, 7), at), 480);
        while let Some(unit) = source.poll(at) {
            sent.push(unit);
        }
    }
    assert_eq!(sent.len(), 30);
    assert!(sent.iter().all(|unit| !is_silent(unit)));
    assert_eq!(sent.iter().filter(|unit| unit.start).count(), 1);
    assert!(source.queued() <= 20 * MS);
}

#[test]
fn a_clock_that_is_slower_than_ours_makes_no_silence_and_no_bursts() {
    let now = Instant::now();
    let mut source = Source::new(OPTIONS, now).unwrap();
    let mut last = None;
    for piece in 0..3_000u32 {
        // 10 ms by the program's clock are 10.1 ms by ours.
        let at = now + piece * 10_100 * Duration::from_micros(1);
        source.capture(&sound(10, 7), at);
        let count = std::iter::from_fn(|| source.poll(at)).inspect(|unit| assert!(!is_silent(unit))).count();
        assert!(count <= 1);
        if count == 1 {
            let since = last.replace(at).map_or(20 * MS, |last| at - last);
            assert!(since <= 21 * MS);
        }
    }
}

#[test]
fn silence_follows_the_last_samples_and_then_nothing() {
    let now = Instant::now();
    let mut source = Source::new(OPTIONS, now).unwrap();
    source.capture(&sound(30, 7), now);
    let sent = units(&mut source, now, 10_000 * MS);
    let (first, rest) = sent.split_at(2);
    assert_eq!(first[1].1.pcm, [sound(10, 7), sound(10, 0)].concat());
    assert_eq!(rest.len(), MOST_SILENCE as usize);
    assert!(rest.iter().all(|(_, unit)| is_silent(unit) && !unit.start));
    assert_eq!(source.poll_timeout(), None);
    // After a pause, the time has gone on with the clock.
    let later = now + 5_000 * MS;
    source.capture(&sound(20, 7), later);
    let unit = source.poll(later).unwrap();
    assert_eq!((unit.time, unit.start), (5 * 48_000, true));
}

#[test]
fn samples_that_come_while_silence_is_sent_follow_it_at_once() {
    let now = Instant::now();
    let mut source = Source::new(OPTIONS, now).unwrap();
    source.capture(&sound(20, 7), now);
    let sent = units(&mut source, now, 100 * MS);
    assert_eq!(sent.len(), 4);
    let at = now + 105 * MS;
    source.capture(&sound(20, 7), at);
    let unit = source.poll(at).unwrap();
    assert_eq!((unit.time, unit.start), (4 * 960, false));
}

#[test]
fn what_does_not_fit_is_not_taken() {
    let now = Instant::now();
    let mut source = Source::new(OPTIONS, now).unwrap();
    assert_eq!(source.capture(&sound(1_500, 7), now), 48_000);
    assert_eq!(source.capture(&sound(1, 7), now), 0);
    assert!(source.poll(now).is_some());
    assert_eq!(source.capture(&sound(100, 7), now), 960);
    source.clear();
    assert!(source.is_empty());
    assert_eq!(source.capture(&sound(1_500, 7), now), 48_000);
}

#[test]
fn a_queue_of_nothing_holds_two_units() {
    let now = Instant::now();
    let options = SourceOptions { queue: Duration::ZERO, channels: 2, ..OPTIONS };
    let mut source = Source::new(options, now).unwrap();
    assert_eq!(source.capture(&vec![1; 9_600], now), 2 * 40 * 48);
    assert_eq!(source.queued(), 40 * MS);
}

#[test]
fn other_rates_are_converted() {
    for rate in [11_025, 22_050, 32_000, 44_100] {
        let now = Instant::now();
        let mut source = Source::new(SourceOptions { sample_rate: rate, ..OPTIONS }, now).unwrap();
        assert_eq!(source.codec_rate(), 48_000);
        let half = vec![1_000; rate as usize / 2];
        assert_eq!(source.capture(&half, now), half.len());
        let queued = source.queued();
        assert!(queued <= 500 * MS && queued > 480 * MS, "{queued:?} at {rate}");
        assert!(source.capture(&vec![1_000; rate as usize], now) <= half.len() + rate as usize / 50);
        assert!(source.queued() <= 1_010 * MS);
    }
    for sample_rate in CODEC_RATES {
        let source = Source::new(SourceOptions { sample_rate, ..OPTIONS }, Instant::now()).unwrap();
        assert_eq!(source.codec_rate(), sample_rate);
    }
}

#[test]
fn other_channels_are_none() {
    for channels in [0, 3, u16::MAX] {
        assert!(Source::new(SourceOptions { channels, ..OPTIONS }, Instant::now()).is_none());
    }
}

proptest! {
    /// However a program captures, and however late the calls come: no sample is lost or out of order, nothing else
    /// but silence is between them, the times have no overlap, and nothing waits longer than the queue is.
    #[test]
    fn all_samples_are_sent_in_their_order(steps in proptest::collection::vec((0usize..3_000, 0u32..120), 1..60)) {
        let mut now = Instant::now();
        let mut source = Source::new(OPTIONS, now).unwrap();
        let (mut captured, mut sent, mut time) = (Vec::new(), Vec::new(), 0);
        let mut value = 0i16;
        for (count, wait) in steps {
            let samples: Vec<i16> = (0..count).map(|_| { value = value % 30_000 + 1; value }).collect();
            let taken = source.capture(&samples, now);
            captured.extend_from_slice(&samples[..taken]);
            value = captured.last().copied().unwrap_or(0);
            now += wait * MS;
            while let Some(unit) = source.poll(now) {
                prop_assert_eq!(unit.pcm.len(), 960);
                prop_assert!(unit.time >= time);
                time = unit.time + 960;
                sent.extend(unit.pcm.into_iter().filter(|&sample| sample != 0));
            }
            prop_assert!(source.queued() <= OPTIONS.queue);
        }
        for (_, unit) in units(&mut source, now, 10_000 * MS) {
            sent.extend(unit.pcm.into_iter().filter(|&sample| sample != 0));
        }
        prop_assert_eq!(sent, captured);
        prop_assert_eq!(source.poll_timeout(), None);
    }
}
