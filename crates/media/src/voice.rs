//! Makes the packets of a published track from the units of its source.

use std::sync::Arc;

use crate::source::Unit;

/// The most bytes of a packet that tells receivers of silence.
const SILENCE_BYTES: usize = 2;

/// The level of digital silence (RFC 6464), in −dBov.
const NO_LEVEL: u8 = 127;

/// Samples that cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the samples cannot be encoded")]
pub struct EncodeError;

/// A codec that makes packets of 20 ms of interleaved samples, at a rate and with channels that are its own matter.
pub trait Encoder: Send {
    /// Encodes 20 ms. While the codec transmits nothing, the payload has at most two bytes.
    fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Forgets what was encoded before, because another sound follows.
    fn reset(&mut self);
}

/// What encrypts the packets of a track, end to end.
pub trait Sealer: Send {
    /// The payload as it may be sent. `None`: there is no key, and so it must not be.
    fn seal(&mut self, payload: &[u8]) -> Option<Vec<u8>>;
}

/// A packet to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speech {
    /// The payload.
    pub payload: Arc<[u8]>,
    /// Its time in ticks of [`RTP_RATE`](crate::RTP_RATE).
    pub time: u64,
    /// Whether it is the first one after a pause.
    pub start: bool,
    /// How loud it is, in −dBov: from 0, the loudest, to 127 (RFC 6464).
    pub level: u8,
}

/// What a voice has counted. Units: `units = encoded + withheld + muted + failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VoiceStats {
    /// Units of 20 ms that the source handed over.
    pub units: u64,
    /// Packets that were made.
    pub encoded: u64,
    /// Units of silence that were not sent.
    pub withheld: u64,
    /// Units that were not sent, because the track was muted.
    pub muted: u64,
    /// Units that the codec refused, or that could not be encrypted.
    pub failed: u64,
    /// Bytes of the packets' payloads.
    pub bytes: u64,
}

/// The sender of one track.
pub struct Voice {
    encoder: Box<dyn Encoder>,
    /// `None`: the track is not encrypted.
    sealer: Option<Box<dyn Sealer>>,
    muted: bool,
    /// Whether nothing was sent since the last pause.
    start: bool,
    /// Whether the codec transmits nothing.
    silent: bool,
    stats: VoiceStats,
}

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voice").field("muted", &self.muted).finish_non_exhaustive()
    }
}

impl Voice {
    /// The sender of a track. With a sealer, nothing leaves that it did not encrypt.
    #[must_use]
    pub fn new(encoder: Box<dyn Encoder>, sealer: Option<Box<dyn Sealer>>) -> Self {
        Self { encoder, sealer, muted: false, start: true, silent: false, stats: VoiceStats::default() }
    }

    /// Mutes the track, or ends that.
    pub fn set_muted(&mut self, muted: bool) {
        if muted != std::mem::replace(&mut self.muted, muted) {
            self.encoder.reset();
            self.start = true;
            self.silent = false;
        }
    }

    /// The packet of a unit; `None` if nothing is to be sent.
    pub fn encode(&mut self, unit: &Unit) -> Option<Speech> {
        self.stats.units += 1;
        if self.muted {
            self.stats.muted += 1;
            return None;
        }
        let mut payload = Vec::new();
        if self.encoder.encode(&unit.pcm, &mut payload).is_err() || payload.is_empty() {
            self.stats.failed += 1;
            return None;
        }
        let silent = payload.len() <= SILENCE_BYTES;
        if let Some(sealer) = &mut self.sealer
            && !(silent && self.silent)
        {
            let Some(sealed) = sealer.seal(&payload) else {
                self.stats.failed += 1;
                self.start = true;
                self.silent = false;
                return None;
            };
            payload = sealed;
        }
        // The first packet of silence tells the receivers that nothing follows.
        if std::mem::replace(&mut self.silent, silent) && silent {
            self.stats.withheld += 1;
            self.start = true;
            return None;
        }
        self.stats.encoded += 1;
        self.stats.bytes += payload.len() as u64;
        let start = std::mem::take(&mut self.start) || unit.start;
        Some(Speech { payload: payload.into(), time: unit.time, start, level: level(&unit.pcm) })
    }

    /// What was counted.
    #[must_use]
    pub const fn stats(&self) -> VoiceStats {
        self.stats
    }
}

/// How loud samples are, by their mean square.
fn level(pcm: &[i16]) -> u8 {
    if pcm.is_empty() {
        return NO_LEVEL;
    }
    let squares: u64 = pcm.iter().map(|&sample| u64::from(sample.unsigned_abs()).pow(2)).sum();
    if squares == 0 {
        return NO_LEVEL;
    }
    let full = f64::from(i16::MAX).powi(2);
    #[expect(clippy::cast_precision_loss, reason = "at most 2^41")]
    let share = squares as f64 / (pcm.len() as f64 * full);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range")]
    let level = (-10.0 * share.log10()).clamp(0.0, f64::from(NO_LEVEL)).round() as u8;
    level
}

#[cfg(test)]
mod tests;
