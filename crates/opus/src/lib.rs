//! libopus as the [`Decoder`] and the [`Encoder`] of `datatrack-media`. It has rates of its own: 8, 12, 16, 24 and
//! 48 kHz.

mod encoder;

use std::ptr::NonNull;

#[cfg(doc)]
use datatrack_media::Encoder;
use datatrack_media::{CODEC_RATES, DecodeError, Decoder, RTP_RATE};
use opusic_sys as libopus;

pub use encoder::{BITRATES, EncoderOptions, OpusEncoder};

/// The rates at which libopus decodes and encodes, in Hz.
pub const RATES: [u32; 5] = CODEC_RATES;

/// The longest packet, in ms (RFC 6716, section 3.1).
const LONGEST_PACKET: u32 = 120;

/// A decoder of one stream.
pub struct OpusDecoder {
    state: NonNull<libopus::OpusDecoder>,
    sample_rate: u32,
    channels: u16,
}

// SAFETY: the state is memory that this owns, and libopus has no state of its own.
unsafe impl Send for OpusDecoder {}

impl std::fmt::Debug for OpusDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpusDecoder").field("sample_rate", &self.sample_rate).finish_non_exhaustive()
    }
}

impl OpusDecoder {
    /// A decoder that makes 1 or 2 channels at one of the [`RATES`]. `None` with another rate or number of channels, or
    /// without memory.
    #[must_use]
    pub fn new(sample_rate: u32, channels: u16) -> Option<Self> {
        if !RATES.contains(&sample_rate) || !(1..=2).contains(&channels) {
            return None;
        }
        let rate = i32::try_from(sample_rate).ok()?;
        let mut error = 0;
        // SAFETY: rate and channels are what the function allows, and the error has a place to go.
        let state = unsafe { libopus::opus_decoder_create(rate, i32::from(channels), &raw mut error) };
        NonNull::new(state).map(|state| Self { state, sample_rate, channels })
    }

    /// Decodes at most `samples` of each channel. An empty payload conceals exactly so many.
    fn run(
        &mut self,
        payload: &[u8],
        samples: u32,
        repair: bool,
        pcm: &mut Vec<i16>,
    ) -> Result<u32, DecodeError> {
        let before = pcm.len();
        pcm.resize(before + samples as usize * usize::from(self.channels), 0);
        let room = pcm.get_mut(before..).unwrap_or_default();
        let data = if payload.is_empty() { std::ptr::null() } else { payload.as_ptr() };
        let len = i32::try_from(payload.len()).map_err(|_| DecodeError)?;
        let most = i32::try_from(samples).map_err(|_| DecodeError)?;
        // SAFETY: the state is alive; `data` has `len` bytes; `room` has `most` samples of each channel.
        let decoded = unsafe {
            libopus::opus_decode(self.state.as_ptr(), data, len, room.as_mut_ptr(), most, i32::from(repair))
        };
        let decoded = u32::try_from(decoded).unwrap_or(0);
        pcm.truncate(before + decoded as usize * usize::from(self.channels));
        if decoded == 0 { Err(DecodeError) } else { Ok(decoded) }
    }

    const fn samples(&self, ticks: u32) -> u32 {
        ticks / (RTP_RATE / self.sample_rate)
    }
}

impl Decoder for OpusDecoder {
    fn decode(&mut self, payload: &[u8], pcm: &mut Vec<i16>) -> Result<u32, DecodeError> {
        if payload.is_empty() {
            return Err(DecodeError);
        }
        let most = self.sample_rate / 1_000 * LONGEST_PACKET;
        let samples = self.run(payload, most, false, pcm)?;
        Ok(samples * (RTP_RATE / self.sample_rate))
    }

    fn repair(&mut self, next: &[u8], ticks: u32, pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
        if next.is_empty() {
            return Err(DecodeError);
        }
        self.run(next, self.samples(ticks), true, pcm).map(drop)
    }

    fn conceal(&mut self, ticks: u32, pcm: &mut Vec<i16>) -> Result<(), DecodeError> {
        self.run(&[], self.samples(ticks), false, pcm).map(drop)
    }

    fn reset(&mut self) {
        // SAFETY: the state is alive, and the request takes no argument.
        let _ = unsafe { libopus::opus_decoder_ctl(self.state.as_ptr(), libopus::OPUS_RESET_STATE) };
    }
}

impl Drop for OpusDecoder {
    fn drop(&mut self) {
        // SAFETY: the state is alive and is used no more.
        unsafe { libopus::opus_decoder_destroy(self.state.as_ptr()) };
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::ffi::c_int;

    use super::*;

    /// A frame of 20 ms of silence, as livekit-server sends it after a mute.
    const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

    #[test]
    fn each_rate_and_number_of_channels_has_20_ms_of_samples() {
        for rate in RATES {
            for channels in [1, 2] {
                let mut decoder = OpusDecoder::new(rate, channels).unwrap();
                let mut pcm = Vec::new();
                assert_eq!(decoder.decode(&SILENCE, &mut pcm), Ok(960));
                decoder.conceal(960, &mut pcm).unwrap();
                decoder.repair(&SILENCE, 960, &mut pcm).unwrap();
                assert_eq!(pcm.len(), 3 * rate as usize / 50 * usize::from(channels));
                decoder.reset();
            }
        }
    }

    /// Packets of 20 ms of two sines, one for each channel.
    fn encoded(tones: [f64; 2], packets: usize) -> Vec<Vec<u8>> {
        encoded_as(libopus::OPUS_APPLICATION_AUDIO, &[], |_| tones, packets)
    }

    /// Packets of 20 ms; `tones` are those of each packet. `settings`: requests of the encoder, with their values.
    fn encoded_as(
        application: c_int,
        settings: &[(c_int, c_int)],
        tones: impl Fn(usize) -> [f64; 2],
        packets: usize,
    ) -> Vec<Vec<u8>> {
        let mut error = 0;
        // SAFETY: a rate, a number of channels and an application that libopus has.
        let encoder = unsafe { libopus::opus_encoder_create(48_000, 2, application, &raw mut error) };
        assert!(!encoder.is_null());
        for &(request, value) in settings {
            // SAFETY: the encoder is alive; these requests take one integer.
            assert_eq!(unsafe { libopus::opus_encoder_ctl(encoder, request, value) }, 0);
        }
        let sample = |tone: f64, at: usize| {
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "of a sine")]
            let sample = (12_000.0 * (std::f64::consts::TAU * tone * at as f64 / 48_000.0).sin()) as i16;
            sample
        };
        let encoded = (0..packets).map(|packet| {
            let at = (0..960).map(|index| packet * 960 + index);
            let pcm: Vec<i16> = at.flat_map(|at| tones(packet).map(|tone| sample(tone, at))).collect();
            let mut payload = vec![0u8; 1_000];
            // SAFETY: the encoder is alive; there are 960 samples of two channels, and room for the packet.
            let length =
                unsafe { libopus::opus_encode(encoder, pcm.as_ptr(), 960, payload.as_mut_ptr(), 1_000) };
            payload.truncate(usize::try_from(length).unwrap());
            payload
        });
        let encoded = encoded.collect();
        // SAFETY: the encoder is alive and is used no more.
        unsafe { libopus::opus_encoder_destroy(encoder) };
        encoded
    }

    /// The share of a channel's energy that has that frequency.
    pub(crate) fn share(pcm: &[i16], channels: usize, channel: usize, tone: f64, rate: u32) -> f64 {
        let (mut real, mut imaginary, mut energy, mut count) = (0.0, 0.0, 0.0, 0.0);
        for sample in pcm.iter().skip(channel).step_by(channels) {
            let (sample, angle) =
                (f64::from(*sample), std::f64::consts::TAU * tone * count / f64::from(rate));
            real += sample * angle.cos();
            imaginary += sample * angle.sin();
            energy += sample * sample;
            count += 1.0;
        }
        2.0 * (real * real + imaginary * imaginary) / (count * energy)
    }

    #[test]
    fn each_channel_has_its_own_sound_at_each_rate() {
        let packets = encoded([440.0, 1_000.0], 20);
        for rate in RATES {
            let mut decoder = OpusDecoder::new(rate, 2).unwrap();
            let mut pcm = Vec::new();
            for packet in &packets {
                decoder.decode(packet, &mut pcm).unwrap();
            }
            // Without the codec's start.
            let heard = &pcm[pcm.len() / 2..];
            assert!(
                share(heard, 2, 0, 440.0, rate) > 0.95 && share(heard, 2, 1, 1_000.0, rate) > 0.95,
                "{rate}"
            );
            assert!(
                share(heard, 2, 0, 1_000.0, rate) < 0.05 && share(heard, 2, 1, 440.0, rate) < 0.05,
                "{rate}"
            );
        }
    }

    #[test]
    fn two_channels_are_mixed_to_one() {
        let mut decoder = OpusDecoder::new(48_000, 1).unwrap();
        let mut pcm = Vec::new();
        for packet in encoded([440.0, 1_000.0], 20) {
            decoder.decode(&packet, &mut pcm).unwrap();
        }
        let heard = &pcm[pcm.len() / 2..];
        for tone in [440.0, 1_000.0] {
            let share = share(heard, 1, 0, tone, 48_000);
            assert!((0.4..0.6).contains(&share), "{tone}: {share}");
        }
    }

    #[test]
    fn a_lost_packet_of_a_steady_sound_sounds_like_those_before_it() {
        let packets = encoded([440.0, 440.0], 20);
        let mut decoder = OpusDecoder::new(48_000, 1).unwrap();
        let mut pcm = Vec::new();
        for packet in &packets {
            decoder.decode(packet, &mut pcm).unwrap();
        }
        pcm.clear();
        decoder.conceal(960, &mut pcm).unwrap();
        assert_eq!(pcm.len(), 960);
        assert!(share(&pcm, 1, 0, 440.0, 48_000) > 0.8);
    }

    #[test]
    fn a_packet_repairs_the_one_before_it_with_what_it_repeats_of_it() {
        let settings = [
            (libopus::OPUS_SET_BITRATE_REQUEST, 40_000),
            (libopus::OPUS_SET_INBAND_FEC_REQUEST, 1),
            (libopus::OPUS_SET_PACKET_LOSS_PERC_REQUEST, 20),
        ];
        // The sound changes with the packet that is lost, so what was before it does not tell how it sounds.
        let tones = |packet| if packet < 20 { [300.0; 2] } else { [700.0; 2] };
        let packets = encoded_as(libopus::OPUS_APPLICATION_VOIP, &settings, tones, 22);
        let after = |missing: &dyn Fn(&mut OpusDecoder, &mut Vec<i16>)| {
            let mut decoder = OpusDecoder::new(48_000, 1).unwrap();
            let mut pcm = Vec::new();
            for packet in &packets[..20] {
                decoder.decode(packet, &mut pcm).unwrap();
            }
            pcm.clear();
            missing(&mut decoder, &mut pcm);
            assert_eq!(pcm.len(), 960);
            share(&pcm, 1, 0, 700.0, 48_000)
        };
        let repaired = after(&|decoder, pcm| decoder.repair(&packets[21], 960, pcm).unwrap());
        let concealed = after(&|decoder, pcm| decoder.conceal(960, pcm).unwrap());
        assert!(repaired > 0.3 && concealed < 0.05, "{repaired} {concealed}");
    }

    #[test]
    fn other_rates_and_channels_are_none() {
        assert!(OpusDecoder::new(44_100, 1).is_none());
        assert!(OpusDecoder::new(0, 1).is_none());
        assert!(OpusDecoder::new(48_000, 0).is_none() && OpusDecoder::new(48_000, 3).is_none());
    }

    #[test]
    fn what_is_no_packet_is_an_error_and_adds_nothing() {
        let mut decoder = OpusDecoder::new(48_000, 2).unwrap();
        let mut pcm = Vec::new();
        for payload in [&[][..], &[0xff; 1], &[0x03], &[0x03, 0xff, 0xff]] {
            assert_eq!(decoder.decode(payload, &mut pcm), Err(DecodeError), "{payload:?}");
        }
        assert!(pcm.is_empty());
    }

    #[test]
    fn any_bytes_are_decoded_or_refused() {
        let mut decoder = OpusDecoder::new(24_000, 1).unwrap();
        let mut pcm = Vec::new();
        // A generator by Lehmer: the same bytes in each run.
        let mut state = 1u32;
        let mut byte = || {
            state = state.wrapping_mul(48_271) % 0x7fff_ffff;
            state.to_le_bytes()[1]
        };
        for length in 0..2_000 {
            let payload: Vec<u8> = (0..length % 300).map(|_| byte()).collect();
            let _ = decoder.decode(&payload, &mut pcm);
            let _ = decoder.repair(&payload, 960, &mut pcm);
            pcm.clear();
        }
    }
}
