#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;

/// The usual rates, and some that have no large common divisor with others.
const RATES: [u32; 12] =
    [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 47_999, 48_000, 88_200, 96_000, 192_000];

const QUALITIES: [Quality; 5] =
    [Quality::Quick, Quality::Low, Quality::Medium, Quality::High, Quality::VeryHigh];

const LEVEL: f64 = 16_000.0;

fn sine(tone: f64, rate: u32, samples: usize) -> Vec<i16> {
    let at = |index| (LEVEL * (TAU * tone * index as f64 / f64::from(rate)).sin()).round() as i16;
    (0..samples).map(at).collect()
}

fn convert(resampler: &mut Resampler, samples: &[i16], portion: usize) -> Vec<i16> {
    let mut converted: Vec<i16> = samples.chunks(portion).flat_map(|each| resampler.push(each)).collect();
    converted.extend(resampler.flush());
    converted
}

/// The part of the samples that is that tone, as its level and its phase, and the level of all the rest. The window
/// keeps the edges of the part that is looked at out of the result.
fn tone_in(samples: &[i16], tone: f64, rate: u32, from: usize) -> (f64, f64, f64) {
    let part = samples.get(from..samples.len() - from).unwrap();
    let length = part.len() as f64;
    let (mut real, mut imaginary, mut weights) = (0.0, 0.0, 0.0);
    for (index, &sample) in part.iter().enumerate() {
        let weight = 0.5 - 0.5 * (TAU * index as f64 / length).cos();
        let angle = TAU * tone * (index + from) as f64 / f64::from(rate);
        real += weight * f64::from(sample) * angle.sin();
        imaginary += weight * f64::from(sample) * angle.cos();
        weights += weight;
    }
    let (real, imaginary) = (2.0 * real / weights, 2.0 * imaginary / weights);
    let rest: f64 = part
        .iter()
        .enumerate()
        .map(|(index, &sample)| {
            let angle = TAU * tone * (index + from) as f64 / f64::from(rate);
            (f64::from(sample) - real * angle.sin() - imaginary * angle.cos()).powi(2)
        })
        .sum();
    (real.hypot(imaginary), imaginary.atan2(real), (2.0 * rest / length).sqrt())
}

fn decibels(level: f64) -> f64 {
    20.0 * (level / LEVEL).log10()
}

#[test]
fn a_tone_keeps_its_frequency_its_level_and_its_time() {
    for from in RATES {
        for to in RATES.into_iter().filter(|&to| to != from) {
            let mut resampler = Resampler::new(from, to, 1, Quality::Medium).unwrap();
            let converted = convert(&mut resampler, &sine(1_000.0, from, from as usize / 4), 480);
            let (level, phase, rest) = tone_in(&converted, 1_000.0, to, to as usize / 40);
            let late = phase / TAU / 1_000.0 * f64::from(to);
            assert!(decibels(level).abs() < 0.01, "{from} to {to}: level {level}");
            assert!(decibels(rest) < -80.0, "{from} to {to}: {} dB beside the tone", decibels(rest));
            assert!(late.abs() < 0.51, "{from} to {to}: {late} samples");
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_have_is_taken_out() {
    for quality in QUALITIES {
        for (from, to) in
            [(48_000, 16_000), (48_000, 8_000), (192_000, 8_000), (44_100, 16_000), (47_999, 11_025)]
        {
            for beyond in [1.001, 1.2, 1.5] {
                let tone = f64::from(to) / 2.0 * beyond;
                let mut resampler = Resampler::new(from, to, 1, quality).unwrap();
                let converted = convert(&mut resampler, &sine(tone, from, from as usize / 4), 480);
                let middle = converted.get(to as usize / 20..to as usize / 5).unwrap();
                let power: f64 = middle.iter().map(|&sample| f64::from(sample).powi(2)).sum();
                let alias = decibels((2.0 * power / middle.len() as f64).sqrt().max(0.1));
                assert!(alias < -80.0, "{quality:?}, {from} to {to}, {tone} Hz: {alias} dB");
            }
        }
    }
}

#[test]
fn a_better_quality_passes_more_of_the_band() {
    for (quality, share) in QUALITIES.into_iter().zip([0.43, 0.70, 0.85, 0.90, 0.92]) {
        for (from, to) in
            [(48_000, 16_000), (16_000, 48_000), (44_100, 48_000), (192_000, 8_000), (47_999, 8_001)]
        {
            let tone = f64::from(from.min(to)) / 2.0 * share;
            let mut resampler = Resampler::new(from, to, 1, quality).unwrap();
            let converted = convert(&mut resampler, &sine(tone, from, from as usize / 2), 480);
            let (level, _, rest) = tone_in(&converted, tone, to, to as usize / 20);
            assert!(decibels(level).abs() < 0.1, "{quality:?}, {from} to {to}: {} dB", decibels(level));
            assert!(decibels(rest) < -75.0, "{quality:?}, {from} to {to}: {} dB", decibels(rest));
        }
    }
}

#[test]
fn channels_stay_apart() {
    let mut resampler = Resampler::new(44_100, 48_000, 2, Quality::Medium).unwrap();
    let mono = sine(1_000.0, 44_100, 11_025);
    let stereo: Vec<i16> = mono.iter().flat_map(|&sample| [sample, 0]).collect();
    let converted = convert(&mut resampler, &stereo, 882);
    let (left, right): (Vec<i16>, Vec<i16>) =
        converted.as_chunks::<2>().0.iter().map(|&[l, r]| (l, r)).unzip();
    assert_eq!(left, convert(&mut Resampler::new(44_100, 48_000, 1, Quality::Medium).unwrap(), &mono, 441));
    assert!(right.iter().all(|&sample| sample == 0));
}

#[test]
fn equal_rates_change_nothing_and_wait_for_nothing() {
    let mut resampler = Resampler::new(16_000, 16_000, 2, Quality::Medium).unwrap();
    assert_eq!(resampler.push(&[1, 2, 3, 4]), [1, 2, 3, 4]);
    assert!(resampler.flush().is_empty());
}

#[test]
fn nonsense_is_refused() {
    for (from, to, channels) in
        [(0, 8_000, 1), (8_000, 0, 1), (8_000, 16_000, 0), (0, 0, 1), (8_000, 8_000, 0)]
    {
        assert!(Resampler::new(from, to, channels, Quality::Medium).is_none());
    }
}

#[test]
fn what_waits_is_half_of_the_filter_and_a_sample() {
    for (from, to) in [(48_000, 16_000), (16_000, 48_000)] {
        let mut resampler = Resampler::new(from, to, 1, Quality::Medium).unwrap();
        let pushed = from as usize / 10;
        let ready = resampler.push(&sine(1_000.0, from, pushed)).len();
        let waiting = to as usize / 10 - ready;
        let expected = 65 * to as usize / to.min(from) as usize;
        assert!(waiting <= expected + 2, "{from} to {to}: {waiting} wait");
    }
}

proptest! {
    #[test]
    fn the_length_is_exact_and_portions_make_no_difference(
        from in 8_000_u32..=192_000,
        to in 8_000_u32..=192_000,
        samples in 0_usize..3_000,
        portions in prop::collection::vec(1_usize..700, 1..8),
        stereo: bool,
        quality in prop::sample::select(QUALITIES.to_vec()),
    ) {
        let channels = if stereo { 2 } else { 1 };
        let sound = sine(440.0, from, samples * channels);
        let mut resampler = Resampler::new(from, to, channels as u16, quality).unwrap();
        let mut converted = Vec::new();
        let mut rest = &sound[..];
        for portion in portions.iter().cycle().take_while(|_| samples > 0).take(samples) {
            let (now, then) = rest.split_at((portion * channels).min(rest.len()));
            converted.extend(resampler.push(now));
            rest = then;
        }
        converted.extend(resampler.flush());
        let exact = samples as f64 * f64::from(to) / f64::from(from);
        prop_assert!((converted.len() as f64 / channels as f64 - exact).abs() <= 0.5 + 1e-6);
        // The same object begins anew after a flush.
        let at_once = convert(&mut resampler, &sound, sound.len().max(1));
        prop_assert_eq!(converted.len(), at_once.len());
        prop_assert!(converted.iter().zip(&at_once).all(|(one, other)| one.abs_diff(*other) <= 1));
    }
}
