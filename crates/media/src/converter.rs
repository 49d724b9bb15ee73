//! Samples at other rates.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, Resizable, SincInterpolationParameters, SincInterpolationType,
    WindowFunction, calculate_cutoff,
};

/// Samples of each channel that are converted at a time, at most.
const CHUNK: usize = 1_024;

/// How many filters there are between two samples, unless the rates need fewer.
const FILTERS: usize = 128;

/// The most coefficients of all filters together (800 kB) if there is a filter for each place that the rates need.
const MOST_COEFFICIENTS: usize = 200_000;

/// The window of the filters. What it lets through beyond the band is far below the rounding to 16 bits.
const WINDOW: WindowFunction = WindowFunction::Blackman2;

/// How long the filter is, and so how much of the band it passes and how long it delays the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// 32 samples of the lower rate.
    Quick,
    /// 64.
    Low,
    /// 128.
    Medium,
    /// 192.
    High,
    /// 256.
    VeryHigh,
}

impl Quality {
    const fn samples(self) -> usize {
        match self {
            Self::Quick => 32,
            Self::Low => 64,
            Self::Medium => 128,
            Self::High => 192,
            Self::VeryHigh => 256,
        }
    }
}

/// Converts interleaved samples from one rate to another.
pub(crate) struct Converter {
    resampler: Async<f32>,
    channels: usize,
    ratio: f64,
    length: usize,
    filters: usize,
}

impl std::fmt::Debug for Converter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Converter").field("channels", &self.channels).finish_non_exhaustive()
    }
}

impl Converter {
    /// `None`: the rates or the channels make no sense.
    pub(crate) fn new(from: u32, to: u32, channels: u16, quality: Quality) -> Option<Self> {
        if from == 0 || to == 0 || channels == 0 {
            return None;
        }
        let channels = usize::from(channels);
        let ratio = f64::from(to) / f64::from(from);
        let parameters = parameters(from, to, quality);
        let (length, filters) = (parameters.sinc_len, parameters.oversampling_factor);
        let resampler = Async::new_sinc(ratio, 1.0, &parameters, CHUNK, channels, FixedAsync::Input).ok()?;
        Some(Self { resampler, channels, ratio, length, filters })
    }

    /// Samples of each channel, at the rate that is given, which the filter needs for one sample of the other rate.
    pub(crate) const fn length(&self) -> usize {
        self.length
    }

    /// How many samples of each channel come out before the one that is at the time of the first that went in.
    pub(crate) fn ahead(&self) -> usize {
        // The filter is centered on the sample that it makes. The first sample that comes out has one step behind it,
        // and the filters begin one place late.
        let ahead = self.ratio * (self.length as f64 / 2.0 - 1.0 / self.filters as f64) - 1.0;
        ahead.round().max(0.0) as usize
    }

    /// Converts samples: whole ones of all channels.
    pub(crate) fn convert(&mut self, samples: &[i16], converted: &mut impl Extend<i16>) {
        for chunk in samples.chunks(CHUNK * self.channels) {
            let input: Vec<f32> = chunk.iter().map(|&sample| f32::from(sample)).collect();
            let frames = chunk.len() / self.channels;
            // None of these fails: the chunk has the length that was announced, and is no longer than the longest.
            if self.resampler.set_chunk_size(frames).is_err() {
                continue;
            }
            let Ok(input) = InterleavedSlice::new(&input, self.channels, frames) else { continue };
            let Ok(output) = self.resampler.process(&input, None) else { continue };
            #[expect(clippy::cast_possible_truncation, reason = "the cast stops at the ends of the range")]
            converted.extend(output.take_data().into_iter().map(|sample| sample.round() as i16));
        }
    }

    /// Forgets what was converted before.
    pub(crate) fn reset(&mut self) {
        self.resampler.reset();
    }
}

/// The filters for two rates. When the rate falls, the filter is as many times longer, so that it passes the same share
/// of the band. If the rates are multiples of a common one, as usual ones are, there is a filter for each place between
/// two samples where a new one is needed. Otherwise the new sample is interpolated between the results of four filters.
fn parameters(from: u32, to: u32, quality: Quality) -> SincInterpolationParameters {
    let times = from.div_ceil(to).max(1) as usize;
    let least = quality.samples();
    let length = (least as u64 * u64::from(from)).div_ceil(u64::from(to)).max(least as u64);
    let length = usize::try_from(length).unwrap_or(usize::MAX).next_multiple_of(8);
    let parameters =
        SincInterpolationParameters::new(length, WINDOW).f_cutoff(calculate_cutoff(least, WINDOW));
    let places = (to / gcd(from, to)) as usize;
    if places.saturating_mul(length) <= MOST_COEFFICIENTS {
        parameters.oversampling_factor(places).interpolation(SincInterpolationType::Nearest)
    } else {
        parameters.oversampling_factor(FILTERS.div_ceil(times))
    }
}

const fn gcd(mut one: u32, mut other: u32) -> u32 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}
