//! Makes frames of PCM from the packets of a track.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::RTP_RATE;
use crate::jitter::{Insertion, Jitter, Packet, Step};

/// Audio that waits for its reader. Then the oldest frame is dropped. It is more if that is less than two frames.
pub const MOST_BUFFERED: Duration = Duration::from_secs(1);

/// How much of a gap is concealed at most, in ticks of [`RTP_RATE`]: 120 ms. What the codec makes up for more is noise.
const MAX_CONCEALED: u32 = RTP_RATE / 1_000 * 120;

/// After this time without audio, the stream goes on with silence. It is longer than the arrivals usually vary.
const QUIET: Duration = Duration::from_millis(60);

/// Silence that is made at a time.
const SILENCE: Duration = Duration::from_millis(10);

/// The most by which the audio may be ahead of the clock, or behind it. What is further ahead is not decoded, so that a
/// sender costs no more than one real stream. What is further behind is left out.
const MOST_SKEW: Duration = Duration::from_secs(1);

/// Ticks of a packet whose length is not known: 20 ms, as nearly all senders use it.
const USUAL_TICKS: u32 = RTP_RATE / 1_000 * 20;

/// A packet that the codec does not understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the packet cannot be decoded")]
pub struct DecodeError;

/// A codec that makes interleaved samples of packets, at a rate and with channels that are its own matter.
pub trait Decoder: Send {
    /// Decodes a packet and appends its samples. Returns its duration in ticks of [`RTP_RATE`].
    fn decode(&mut self, payload: &[u8], pcm: &mut Vec<i16>) -> Result<u32, DecodeError>;

    /// Makes up for a lost packet of that duration by what `next`, the packet after it, repeats of it.
    fn repair(&mut self, next: &[u8], ticks: u32, pcm: &mut Vec<i16>) -> Result<(), DecodeError>;

    /// Makes up for a lost packet of that duration by what was heard before.
    fn conceal(&mut self, ticks: u32, pcm: &mut Vec<i16>) -> Result<(), DecodeError>;

    /// Forgets what was heard before, because another stream follows.
    fn reset(&mut self);
}

/// The options of a [`Sink`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkOptions {
    /// Samples a second and channel.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
    /// Samples of each channel in a frame; at least 1.
    pub frame: usize,
}

/// What a sink has counted.
///
/// Packets: `received = decoded + late + duplicate + invalid + surplus + discarded + undecryptable + held`. Frames:
/// `produced = delivered + dropped + queued`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SinkStats {
    /// Packets that arrived, or that were repaired.
    pub received: u64,
    /// Packets of them that did not arrive themselves: later packets repeat them.
    pub repaired: u64,
    /// Packets that were decoded.
    pub decoded: u64,
    /// Packets that came after their place was given up.
    pub late: u64,
    /// Packets that came twice.
    pub duplicate: u64,
    /// Packets that the codec did not understand.
    pub invalid: u64,
    /// Packets that were not decoded, because the audio was a second ahead of the clock: the sender sends too many.
    pub surplus: u64,
    /// Packets that were held when the stream of packets started anew.
    pub discarded: u64,
    /// Packets of an encrypted track that could not be decrypted, or that were not encrypted.
    pub undecryptable: u64,
    /// Packets that are held now.
    pub held: u64,
    /// Packets that did not arrive in time. Late ones are among them, and those that could not be decrypted.
    pub lost: u64,
    /// Samples of each channel that were decoded, that make up for lost packets, and that are silence.
    pub samples_decoded: u64,
    /// See [`samples_decoded`](Self::samples_decoded).
    pub samples_concealed: u64,
    /// See [`samples_decoded`](Self::samples_decoded).
    pub samples_silence: u64,
    /// Frames that were made.
    pub produced: u64,
    /// Frames that the reader took.
    pub delivered: u64,
    /// Frames that were dropped, because the reader was too slow.
    pub dropped: u64,
    /// Frames that wait now.
    pub queued: u64,
}

/// One reader of a track.
pub struct Sink {
    options: SinkOptions,
    decoder: Box<dyn Decoder>,
    jitter: Jitter,
    /// Samples that do not make a frame yet.
    pcm: Vec<i16>,
    frames: VecDeque<Vec<i16>>,
    /// The end of the last packet in ticks, and its duration.
    last: Option<(u64, u32)>,
    /// Whether packets are missing before the next one.
    gap: bool,
    /// Whether silence took the place of what is missing.
    silent: bool,
    /// Until when there is audio.
    covered: Instant,
    stats: SinkStats,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Sink {
    /// A sink whose audio begins now, with silence until packets arrive.
    #[must_use]
    pub fn new(options: SinkOptions, decoder: Box<dyn Decoder>, now: Instant) -> Self {
        Self {
            options: SinkOptions { frame: options.frame.max(1), ..options },
            decoder,
            jitter: Jitter::default(),
            pcm: Vec::new(),
            frames: VecDeque::new(),
            last: None,
            gap: false,
            silent: false,
            covered: now,
            stats: SinkStats::default(),
        }
    }

    /// Takes a packet.
    pub fn handle_packet(&mut self, packet: Packet, now: Instant) {
        self.stats.received += 1;
        self.stats.repaired += u64::from(packet.repaired);
        if self.jitter.is_foreign(packet.sequence) {
            self.restart();
        }
        match self.jitter.insert(packet, now) {
            Insertion::Held => {}
            Insertion::Late => self.stats.late += 1,
            Insertion::Duplicate => self.stats.duplicate += 1,
        }
        self.take_packets(now);
    }

    /// A packet arrived that could not be decrypted. It is as good as lost.
    pub fn handle_undecryptable(&mut self) {
        self.stats.received += 1;
        self.stats.undecryptable += 1;
    }

    /// The packets that follow are another stream's: the server sends the track anew.
    pub fn restart(&mut self) {
        self.stats.discarded += self.jitter.restart() as u64;
        self.decoder.reset();
        self.last = None;
        self.gap = false;
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.take_packets(now);
        let earliest = now.checked_sub(MOST_SKEW).unwrap_or(now);
        self.covered = self.covered.max(earliest);
        while self.covered + QUIET <= now {
            self.silence();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let quiet = self.covered + QUIET;
        self.jitter.poll_timeout().map_or(quiet, |gap| gap.min(quiet))
    }

    /// The oldest frame.
    pub fn read(&mut self) -> Option<Vec<i16>> {
        let frame = self.frames.pop_front()?;
        self.stats.delivered += 1;
        Some(frame)
    }

    /// Whether there is a frame.
    #[must_use]
    pub fn has_frames(&self) -> bool {
        !self.frames.is_empty()
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> SinkStats {
        SinkStats { held: self.jitter.held() as u64, queued: self.frames.len() as u64, ..self.stats }
    }

    fn take_packets(&mut self, now: Instant) {
        loop {
            match self.jitter.poll(now) {
                Step::Packet(packet) => self.decode(&packet, now),
                Step::Lost(count) => {
                    self.stats.lost += count;
                    self.gap = true;
                }
                Step::Wait | Step::Nothing => return,
            }
        }
    }

    fn decode(&mut self, packet: &Packet, now: Instant) {
        let gap = std::mem::take(&mut self.gap);
        let silent = std::mem::take(&mut self.silent);
        if self.covered >= now + MOST_SKEW {
            self.stats.surplus += 1;
            return;
        }
        if gap && !silent {
            self.fill_gap(packet);
        }
        let before = self.pcm.len();
        match self.decoder.decode(&packet.payload, &mut self.pcm) {
            Ok(ticks) => {
                self.stats.decoded += 1;
                self.stats.samples_decoded += self.samples_since(before);
                self.last = Some((packet.time.saturating_add(u64::from(ticks)), ticks));
                let duration = Duration::from_secs(u64::from(ticks)) / RTP_RATE;
                self.covered = self.covered.max(now) + duration;
            }
            Err(DecodeError) => {
                self.pcm.truncate(before);
                self.stats.invalid += 1;
            }
        }
        self.cut();
    }

    /// Makes up for what is missing before this packet.
    fn fill_gap(&mut self, packet: &Packet) {
        let Some((end, usual)) = self.last else { return };
        let missing = packet.time.saturating_sub(end).min(u64::from(MAX_CONCEALED));
        let mut missing = u32::try_from(missing).unwrap_or(MAX_CONCEALED);
        let usual = if usual == 0 { USUAL_TICKS } else { usual };
        let before = self.pcm.len();
        while missing >= usual {
            missing -= usual;
            self.covered += Duration::from_secs(u64::from(usual)) / RTP_RATE;
            let repaired =
                missing < usual && self.decoder.repair(&packet.payload, usual, &mut self.pcm).is_ok();
            if !repaired && self.decoder.conceal(usual, &mut self.pcm).is_err() {
                break;
            }
        }
        self.stats.samples_concealed += self.samples_since(before);
    }

    fn silence(&mut self) {
        self.silent = true;
        self.covered += SILENCE;
        let samples = self.options.sample_rate / 100;
        let values = samples as usize * usize::from(self.options.channels);
        self.pcm.resize(self.pcm.len() + values, 0);
        self.stats.samples_silence += u64::from(samples);
        self.cut();
    }

    fn samples_since(&self, before: usize) -> u64 {
        ((self.pcm.len() - before) / usize::from(self.options.channels.max(1))) as u64
    }

    fn cut(&mut self) {
        let values = self.options.frame * usize::from(self.options.channels.max(1));
        let whole = self.pcm.len() / values * values;
        let most = MOST_BUFFERED.as_secs() * u64::from(self.options.sample_rate) / self.options.frame as u64;
        for frame in self.pcm.get(..whole).unwrap_or_default().chunks(values) {
            if self.frames.len() as u64 >= most.max(2) {
                self.frames.pop_front();
                self.stats.dropped += 1;
            }
            self.frames.push_back(frame.to_vec());
            self.stats.produced += 1;
        }
        self.pcm.drain(..whole);
    }
}

#[cfg(test)]
mod tests;
