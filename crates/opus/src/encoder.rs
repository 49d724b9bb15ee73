use std::ffi::c_int;
use std::ops::RangeInclusive;
use std::ptr::NonNull;

use datatrack_media::{CODEC_RATES, EncodeError, Encoder};
use opusic_sys as libopus;

/// Bits a second that a track may have (RFC 7587, section 6.1).
pub const BITRATES: RangeInclusive<u32> = 6_000..=510_000;

/// The longest packet, in bytes: 20 ms at the highest bitrate, which the codec exceeds for single packets.
const LONGEST_PACKET: usize = 1_275;

/// Of 10 levels, the second highest. The highest one takes more time, and the difference cannot be heard.
const COMPLEXITY: c_int = 9;

/// The share of packets that the encoder counts as lost, in percent. It decides how much a packet repeats of the one
/// before it.
const EXPECTED_LOSS: c_int = 10;

/// The options of an [`OpusEncoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderOptions {
    /// Bits a second.
    pub bitrate: u32,
    /// Whether silence is not transmitted.
    pub dtx: bool,
    /// Whether two channels are mixed to one.
    pub mono: bool,
}

/// An encoder of one stream.
pub struct OpusEncoder {
    state: NonNull<libopus::OpusEncoder>,
    channels: u16,
}

// SAFETY: the state is memory that this owns, and libopus has no state of its own.
unsafe impl Send for OpusEncoder {}

impl std::fmt::Debug for OpusEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpusEncoder").field("channels", &self.channels).finish_non_exhaustive()
    }
}

impl OpusEncoder {
    /// An encoder of 1 or 2 channels at one of the [rates](crate::RATES). `None` with another rate, number of channels
    /// or bitrate, or without memory.
    #[must_use]
    pub fn new(sample_rate: u32, channels: u16, options: EncoderOptions) -> Option<Self> {
        if !CODEC_RATES.contains(&sample_rate) || !(1..=2).contains(&channels) {
            return None;
        }
        if !BITRATES.contains(&options.bitrate) {
            return None;
        }
        let rate = c_int::try_from(sample_rate).ok()?;
        // The first one is tuned to speech: it suppresses what is below 50 Hz. Two channels are music.
        let speech = channels == 1 || options.mono;
        let application =
            if speech { libopus::OPUS_APPLICATION_VOIP } else { libopus::OPUS_APPLICATION_AUDIO };
        let mut error = 0;
        // SAFETY: rate, channels and application are what the function allows, and the error has a place to go.
        let state =
            unsafe { libopus::opus_encoder_create(rate, c_int::from(channels), application, &raw mut error) };
        let encoder = NonNull::new(state).map(|state| Self { state, channels })?;
        let set = |request: c_int, value: c_int| {
            // SAFETY: the state is alive; each of these requests takes one integer.
            unsafe { libopus::opus_encoder_ctl(encoder.state.as_ptr(), request, value) == 0 }
        };
        let settings = [
            (libopus::OPUS_SET_BITRATE_REQUEST, c_int::try_from(options.bitrate).ok()?),
            (libopus::OPUS_SET_DTX_REQUEST, c_int::from(options.dtx)),
            (libopus::OPUS_SET_INBAND_FEC_REQUEST, 1),
            (libopus::OPUS_SET_PACKET_LOSS_PERC_REQUEST, EXPECTED_LOSS),
            (libopus::OPUS_SET_COMPLEXITY_REQUEST, COMPLEXITY),
        ];
        let channels = (libopus::OPUS_SET_FORCE_CHANNELS_REQUEST, 1);
        let mono = options.mono.then_some(channels);
        settings.into_iter().chain(mono).all(|(request, value)| set(request, value)).then_some(encoder)
    }
}

impl Encoder for OpusEncoder {
    fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) -> Result<(), EncodeError> {
        let samples = c_int::try_from(pcm.len() / usize::from(self.channels)).map_err(|_| EncodeError)?;
        payload.resize(LONGEST_PACKET, 0);
        let room = i32::try_from(LONGEST_PACKET).map_err(|_| EncodeError)?;
        // SAFETY: the state is alive; `pcm` has so many samples of each channel, and `payload` so much room.
        let len = unsafe {
            libopus::opus_encode(self.state.as_ptr(), pcm.as_ptr(), samples, payload.as_mut_ptr(), room)
        };
        let len = usize::try_from(len).unwrap_or(0);
        payload.truncate(len);
        if len == 0 { Err(EncodeError) } else { Ok(()) }
    }

    fn reset(&mut self) {
        // SAFETY: the state is alive, and the request takes no argument.
        let _ = unsafe { libopus::opus_encoder_ctl(self.state.as_ptr(), libopus::OPUS_RESET_STATE) };
    }
}

impl Drop for OpusEncoder {
    fn drop(&mut self) {
        // SAFETY: the state is alive and is used no more.
        unsafe { libopus::opus_encoder_destroy(self.state.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use datatrack_media::Decoder;

    use super::*;
    use crate::OpusDecoder;
    use crate::tests::share;

    const OPTIONS: EncoderOptions = EncoderOptions { bitrate: 64_000, dtx: true, mono: false };

    /// 20 ms of a sine for each channel.
    fn sines(tones: &[f64], packet: usize, rate: u32) -> Vec<i16> {
        let samples = rate as usize / 50;
        let at = (0..samples).map(|index| packet * samples + index);
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "of a sine")]
        let sample = |at: usize, tone: f64| {
            (12_000.0 * (std::f64::consts::TAU * tone * at as f64 / f64::from(rate)).sin()) as i16
        };
        at.flat_map(|at| tones.iter().map(move |&tone| sample(at, tone))).collect()
    }

    #[test]
    fn each_rate_and_number_of_channels_keeps_its_tones() {
        for rate in CODEC_RATES {
            for tones in [&[440.0][..], &[440.0, 1_000.0]] {
                let channels = u16::try_from(tones.len()).unwrap();
                let mut encoder = OpusEncoder::new(rate, channels, OPTIONS).unwrap();
                let mut decoder = OpusDecoder::new(48_000, channels).unwrap();
                let mut pcm = Vec::new();
                for packet in 0..25 {
                    let mut payload = Vec::new();
                    encoder.encode(&sines(tones, packet, rate), &mut payload).unwrap();
                    assert_eq!(decoder.decode(&payload, &mut pcm), Ok(960));
                }
                let heard = &pcm[pcm.len() / 2..];
                for (channel, &tone) in tones.iter().enumerate() {
                    let share = share(heard, tones.len(), channel, tone, 48_000);
                    assert!(share > 0.9, "{tone} Hz at {rate}: {share}");
                }
            }
        }
    }

    #[test]
    fn two_channels_may_be_mixed_to_one() {
        let options = EncoderOptions { mono: true, ..OPTIONS };
        let mut encoder = OpusEncoder::new(48_000, 2, options).unwrap();
        for packet in 0..5 {
            let mut payload = Vec::new();
            encoder.encode(&sines(&[440.0, 1_000.0], packet, 48_000), &mut payload).unwrap();
            // The bit of RFC 6716, section 3.1, that says whether there are two channels.
            assert_eq!(payload[0] & 4, 0);
        }
    }

    #[test]
    fn silence_is_not_transmitted_unless_it_is_wanted() {
        for dtx in [true, false] {
            let mut encoder = OpusEncoder::new(48_000, 1, EncoderOptions { dtx, ..OPTIONS }).unwrap();
            let silent = (0..30).filter(|_| {
                let mut payload = Vec::new();
                encoder.encode(&[0; 960], &mut payload).unwrap();
                payload.len() <= 2
            });
            let silent = silent.count();
            assert_eq!(silent > 0, dtx, "{silent}");
        }
    }

    #[test]
    fn what_cannot_be_is_none_or_an_error() {
        assert!(OpusEncoder::new(44_100, 1, OPTIONS).is_none());
        assert!(
            OpusEncoder::new(48_000, 3, OPTIONS).is_none() && OpusEncoder::new(48_000, 0, OPTIONS).is_none()
        );
        for bitrate in [0, 5_999, 510_001, u32::MAX] {
            assert!(OpusEncoder::new(48_000, 1, EncoderOptions { bitrate, ..OPTIONS }).is_none());
        }
        let mut encoder = OpusEncoder::new(48_000, 1, OPTIONS).unwrap();
        let mut payload = Vec::new();
        assert_eq!(encoder.encode(&[0; 100], &mut payload), Err(EncodeError));
        assert!(payload.is_empty());
        encoder.reset();
        encoder.encode(&[0; 960], &mut payload).unwrap();
    }
}
