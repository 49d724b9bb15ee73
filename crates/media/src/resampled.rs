//! A decoder at any rate, over one at 48 kHz.

use crate::RTP_RATE;
use crate::converter::{Converter, Quality};
use crate::sink::{DecodeError, Decoder};

/// A decoder at any rate, over one at 48 kHz.
pub struct Resampled {
    decoder: Box<dyn Decoder>,
    converter: Converter,
}

impl std::fmt::Debug for Resampled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resampled").field("converter", &self.converter).finish_non_exhaustive()
    }
}

impl Resampled {
    /// A decoder at that rate, over one at 48 kHz with so many channels. `None`: the rate or the channels make no
    /// sense.
    #[must_use]
    pub fn new(decoder: Box<dyn Decoder>, sample_rate: u32, channels: u16) -> Option<Self> {
        Some(Self { decoder, converter: Converter::new(RTP_RATE, sample_rate, channels, Quality::Low)? })
    }

    /// Decodes by `with`, and converts what came of it.
    fn convert<T>(
        &mut self,
        pcm: &mut Vec<i16>,
        with: impl FnOnce(&mut dyn Decoder, &mut Vec<i16>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut decoded = Vec::new();
        let result = with(&mut *self.decoder, &mut decoded)?;
        self.converter.convert(&decoded, pcm);
        Ok(result)
    }
}

impl Decoder for Resampled {
    fn decode(&mut self, payload: &[u8], pcm: &mut Vec<i16>) -> Result<u32, DecodeError> {
        self.convert(pcm, |decoder, decoded| decoder.decode(payload, decoded))
    }

    fn repair(&mut self, next: &[u8], ticks: u32, pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
        self.convert(pcm, |decoder, decoded| decoder.repair(next, ticks, decoded))
    }

    fn conceal(&mut self, ticks: u32, pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
        self.convert(pcm, |decoder, decoded| decoder.conceal(ticks, decoded))
    }

    fn reset(&mut self) {
        self.decoder.reset();
        self.converter.reset();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A codec whose packets are 20 ms of a sine of 1 kHz on the left, and of 2 kHz on the right.
    struct Sines {
        at: u32,
    }

    fn sine(tone: f64, at: u32, rate: u32) -> f64 {
        (std::f64::consts::TAU * tone * f64::from(at) / f64::from(rate)).sin()
    }

    impl Decoder for Sines {
        fn decode(&mut self, payload: &[u8], pcm: &mut Vec<i16>) -> Result<u32, DecodeError> {
            if payload.is_empty() {
                return Err(DecodeError);
            }
            for _ in 0..960 {
                for tone in [1_000.0, 2_000.0] {
                    #[expect(clippy::cast_possible_truncation, reason = "of a sine")]
                    pcm.push((10_000.0 * sine(tone, self.at, RTP_RATE)) as i16);
                }
                self.at += 1;
            }
            Ok(960)
        }

        fn repair(&mut self, next: &[u8], _ticks: u32, pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
            self.decode(next, pcm).map(drop)
        }

        fn conceal(&mut self, _ticks: u32, pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
            self.decode(&[1], pcm).map(drop)
        }

        fn reset(&mut self) {
            self.at = 0;
        }
    }

    /// The share of a channel's energy that has that frequency.
    fn share(pcm: &[i16], channel: usize, tone: f64, rate: u32) -> f64 {
        let (mut real, mut imaginary, mut energy, mut at) = (0.0, 0.0, 0.0, 0);
        for sample in pcm.iter().skip(channel).step_by(2) {
            let sample = f64::from(*sample);
            real += sample * sine(tone, at, rate);
            imaginary += sample * (std::f64::consts::TAU * tone * f64::from(at) / f64::from(rate)).cos();
            energy += sample * sample;
            at += 1;
        }
        2.0 * (real * real + imaginary * imaginary) / (f64::from(at) * energy)
    }

    #[test]
    fn at_any_rate_the_sound_and_its_length_are_the_same() {
        for rate in [8_000, 11_025, 22_050, 32_000, 44_100, 47_999, 48_000] {
            let mut decoder = Resampled::new(Box::new(Sines { at: 0 }), rate, 2).unwrap();
            let mut pcm = Vec::new();
            for _ in 0..40 {
                assert_eq!(decoder.decode(&[1], &mut pcm), Ok(960));
                decoder.conceal(960, &mut pcm).unwrap();
                decoder.repair(&[1], 960, &mut pcm).unwrap();
            }
            // 120 packets of 20 ms, less what the filter holds.
            let samples = pcm.len() / 2;
            let expected = rate as usize * 12 / 5;
            assert!(samples <= expected + 1 && samples + 100 > expected, "{samples} at {rate}");
            let heard = pcm.get(2_000..).unwrap();
            assert!(share(heard, 0, 1_000.0, rate) > 0.99 && share(heard, 1, 2_000.0, rate) > 0.99, "{rate}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_adds_nothing() {
        let mut decoder = Resampled::new(Box::new(Sines { at: 0 }), 44_100, 2).unwrap();
        let mut pcm = Vec::new();
        assert_eq!(decoder.decode(&[], &mut pcm), Err(DecodeError));
        assert!(pcm.is_empty());
        decoder.reset();
        assert_eq!(decoder.decode(&[1], &mut pcm), Ok(960));
    }
}
