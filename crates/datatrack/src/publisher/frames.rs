//! Pushed frames, and how many bytes of them wait.

use super::track::{Incoming, Sealing, Track, TrackState};
use super::{Connection, Encryption, Publisher, PublisherEvent, PushFrameError, Slot, slot_index};
use crate::e2ee::KEY_RING_SIZE;
use crate::packet::{E2eeExtension, Handle};
use crate::time::Instant;

impl Publisher {
    /// Pushes a frame. It is packetized at once and, on an encrypted track, sealed. After an error no part of it was or
    /// will be sent.
    pub fn push(
        &mut self,
        handle: Handle,
        payload: &[u8],
        user_timestamp: Option<u64>,
        now: Instant,
    ) -> Result<(), PushFrameError> {
        self.push_frame(handle, payload, user_timestamp, None, now)
    }

    /// Pushes a frame that the application sealed: ciphertext with its tag, and the key index and IV that it was sealed
    /// with.
    pub fn push_sealed(
        &mut self,
        handle: Handle,
        payload: &[u8],
        user_timestamp: Option<u64>,
        extension: E2eeExtension,
        now: Instant,
    ) -> Result<(), PushFrameError> {
        self.push_frame(handle, payload, user_timestamp, Some(extension), now)
    }

    fn push_frame(
        &mut self,
        handle: Handle,
        payload: &[u8],
        user_timestamp: Option<u64>,
        sealed_with: Option<E2eeExtension>,
        now: Instant,
    ) -> Result<(), PushFrameError> {
        let timestamp = self.packet_timestamp(now);
        let incoming = Incoming { payload, user_timestamp, timestamp, pushed_at: now };
        let connection = if self.finishing { Connection::Closed } else { self.connection };
        let Some(Slot::Active(track)) = self.slots.get_mut(slot_index(handle)) else {
            return Err(match connection {
                Connection::Closed => PushFrameError::Disconnected,
                _ => PushFrameError::TrackUnpublished,
            });
        };
        let result = match (&track.state, connection) {
            (TrackState::Pending { .. }, _) => Err(PushFrameError::NotPublished),
            (TrackState::Republishing { .. }, _) | (_, Connection::Lost) => Err(PushFrameError::Reconnecting),
            (_, Connection::Closed) => Err(PushFrameError::Disconnected),
            (TrackState::Published(_), Connection::Up) => match (&self.encryption, sealed_with) {
                (_, None) if !track.options.encrypted => track.push_plain(incoming, &mut self.pool),
                // On a plain track it would look like plaintext. And no peer reads key indexes outside of the key ring.
                (Encryption::Custom, Some(extension))
                    if track.options.encrypted && extension.key_index < KEY_RING_SIZE =>
                {
                    track.push_sealed(incoming, extension, &mut self.pool)
                }
                (Encryption::Native(keys), None) => match keys.current() {
                    None if keys.is_pending() => track.hold(incoming),
                    _ => {
                        let random = self.config.iv_random.as_mut();
                        let mut sealing = Sealing { keys, random, scratch: &mut self.scratch };
                        track.push_encrypted(incoming, &mut sealing, &mut self.pool)
                    }
                },
                _ => Err(PushFrameError::EncryptionFailed),
            },
        };
        match result {
            Ok(()) if !track.listed && !track.queue.is_empty() => {
                track.listed = true;
                self.turns.push_back(handle);
            }
            Ok(()) => {}
            Err(_) => track.stats.refused += 1,
        }
        result
    }

    /// Ticks of 90 kHz since the random base.
    #[allow(clippy::cast_possible_truncation, reason = "the timestamp wraps, by its definition")]
    const fn packet_timestamp(&self, now: Instant) -> u32 {
        self.config.timestamp_base.wrapping_add((now.as_micros().wrapping_mul(9) / 100) as u32)
    }

    /// The longest payload that [`push`](Self::push) takes, in bytes. `None` if the track has ended.
    pub fn max_frame_len(&self, handle: Handle, with_timestamp: bool) -> Option<usize> {
        self.track(handle).map(|track| track.max_payload(with_timestamp))
    }

    /// Bytes that wait to be sent.
    pub fn buffered_amount(&self, handle: Handle) -> usize {
        self.track(handle).map_or(0, Track::buffered)
    }

    /// Asks for one [`PublisherEvent::BufferedAmountLow`] when at most `bytes` wait. It comes at once if that is so
    /// already. A second call replaces the first. No event comes if the track has ended, since its end was an event.
    pub fn watch_buffered(&mut self, handle: Handle, bytes: usize) {
        if let Some(track) = self.track_mut(handle) {
            track.watch = Some(bytes);
            self.check_watch(handle);
        }
    }

    pub(super) fn check_watch(&mut self, handle: Handle) {
        let Some(Slot::Active(track)) = self.slots.get_mut(slot_index(handle)) else { return };
        if track.watch.is_some_and(|level| track.buffered() <= level) {
            track.watch = None;
            self.events.push_back(PublisherEvent::BufferedAmountLow { handle });
        }
    }
}
