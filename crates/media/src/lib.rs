//! Audio tracks without I/O: which sections a session description needs, what becomes of the packets of a track, and
//! when the sound of a published one is sent.
//!
//! As in the core, the caller passes the time, and polls what is to be done: an offer, decoded frames, the next
//! deadline. Packets are RTP payloads with their sequence numbers and timestamps. The codec is behind a trait, so that
//! tests need none.

mod converter;
mod encryption;
mod jitter;
mod resampled;
mod resampler;
mod sections;
mod sink;
mod source;
mod voice;

pub use converter::Quality;
pub use encryption::{Arrived, OPUS_HEAD, SEALED_OVERHEAD, Sealed, read_frame, seal_frame};
pub use jitter::{MAX_HELD, Packet};
pub use resampled::Resampled;
pub use resampler::Resampler;
pub use sections::{MAX_AUDIO_SECTIONS, Plan, Sections};
pub use sink::{DecodeError, Decoder, MOST_BUFFERED, Sink, SinkOptions, SinkStats};
pub use source::{CODEC_RATES, Source, SourceOptions, UNIT, Unit};
pub use voice::{EncodeError, Encoder, Sealer, Speech, Voice, VoiceStats};

/// Ticks a second of the RTP timestamps of Opus (RFC 7587), at whatever rate it is decoded.
pub const RTP_RATE: u32 = 48_000;
