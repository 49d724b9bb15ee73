//! Converts a sound from one rate to another, as a whole: as long as it was, and in step with it.

use crate::converter::{Converter, Quality};

/// Converts a sound whose samples come in any portions.
#[derive(Debug)]
pub struct Resampler {
    from: u32,
    to: u32,
    channels: usize,
    /// `None` if the rates are equal.
    converter: Option<Converter>,
    /// Samples of each channel that were pushed.
    taken: u64,
    /// Samples of each channel that were returned.
    given: u64,
    /// Samples of all channels that come out of the filter before the sound.
    ahead: usize,
}

impl Resampler {
    /// `None`: the rates or the channels make no sense.
    #[must_use]
    pub fn new(from: u32, to: u32, channels: u16, quality: Quality) -> Option<Self> {
        if from == 0 || channels == 0 {
            return None;
        }
        let converter = if from == to { None } else { Some(Converter::new(from, to, channels, quality)?) };
        let mut resampler =
            Self { from, to, channels: channels.into(), converter, taken: 0, given: 0, ahead: 0 };
        resampler.reset();
        Some(resampler)
    }

    /// Converts samples, interleaved, whole ones of all channels. Returns what is ready: the last ones wait for those
    /// that follow.
    pub fn push(&mut self, samples: &[i16]) -> Vec<i16> {
        self.taken += (samples.len() / self.channels) as u64;
        let converted = self.convert(samples);
        self.given += (converted.len() / self.channels) as u64;
        converted
    }

    /// Ends the sound, and returns the rest of it. What is pushed next begins a new one.
    pub fn flush(&mut self) -> Vec<i16> {
        let all = (u128::from(self.taken) * u128::from(self.to) + u128::from(self.from / 2))
            / u128::from(self.from);
        let missing = u64::try_from(all).unwrap_or(u64::MAX).saturating_sub(self.given);
        let missing = usize::try_from(missing).unwrap_or(0) * self.channels;
        // More than the filter needs beyond the last sample.
        let length = self.converter.as_ref().map_or(0, Converter::length);
        let mut rest = self.convert(&vec![0; 2 * length * self.channels]);
        rest.resize(missing, 0);
        self.reset();
        rest
    }

    fn convert(&mut self, samples: &[i16]) -> Vec<i16> {
        let Some(converter) = &mut self.converter else { return samples.to_vec() };
        let mut converted = Vec::new();
        converter.convert(samples, &mut converted);
        let ahead = self.ahead.min(converted.len());
        self.ahead -= ahead;
        converted.drain(..ahead);
        converted
    }

    fn reset(&mut self) {
        self.taken = 0;
        self.given = 0;
        let Some(converter) = &mut self.converter else { return };
        converter.reset();
        self.ahead = converter.ahead() * self.channels;
    }
}

#[cfg(test)]
mod tests;
