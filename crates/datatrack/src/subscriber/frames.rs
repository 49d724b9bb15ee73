//! Whole frames: opened if they are sealed, put into the streams' buffers, and read from there.

use std::collections::VecDeque;

use nohash_hasher::IntMap;

use super::stream::{Frame, Stream};
use super::{Encryption, EncryptionErrorReason, StreamId, Subscriber, TrackId};
use crate::e2ee::OpenOutcome;
use crate::frame::AssembledFrame;
use crate::info::EncryptionType;
use crate::stats::FrameDrop;
use crate::time::Instant;

impl Subscriber {
    // From the depacketizer.

    /// All packets of a frame have arrived. Opens it if it is sealed, and hands it to the streams.
    #[inline]
    pub(super) fn complete(
        &mut self,
        id: TrackId,
        frame: AssembledFrame,
        completed_at: Instant,
        now: Instant,
    ) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let Some(extension) = frame.extensions.e2ee else {
            if track.info.encryption == EncryptionType::Gcm {
                return self.drop_sealed_frame(
                    id,
                    FrameDrop::Unencrypted,
                    EncryptionErrorReason::Unencrypted,
                    0,
                    now,
                );
            }
            return self.deliver(id, frame, completed_at, now);
        };
        let keys = match &mut self.encryption {
            Encryption::Native(keys) => keys,
            Encryption::Custom => {
                return self.deliver(id, frame, completed_at, now);
            }
            // The SFU says that the track is not encrypted, but its frames are. Ciphertext is never handed out.
            Encryption::None => {
                return self.drop_sealed_frame(
                    id,
                    FrameDrop::NoKey,
                    EncryptionErrorReason::MissingKey,
                    extension.key_index,
                    now,
                );
            }
        };
        let (index, iv) = (extension.key_index, &extension.iv);
        let (drop, reason) = match keys.open(&track.publisher, index, iv, &frame.payload, now) {
            OpenOutcome::Opened(opened) => {
                let opened = AssembledFrame { payload: opened.into(), ..frame };
                return self.deliver(id, opened, completed_at, now);
            }
            OpenOutcome::Wait => {
                let pushed_out = track.sealed.push(frame, completed_at);
                track.dropped.add(FrameDrop::NoKey, pushed_out);
                if let Some(deadline) = track.sealed.poll_timeout() {
                    self.expect_by(deadline);
                }
                return;
            }
            OpenOutcome::NoKey => (FrameDrop::NoKey, EncryptionErrorReason::MissingKey),
            OpenOutcome::Failed => (FrameDrop::DecryptionFailed, EncryptionErrorReason::DecryptionFailed),
            OpenOutcome::InvalidKey => (FrameDrop::DecryptionFailed, EncryptionErrorReason::InvalidKey),
        };
        self.drop_sealed_frame(id, drop, reason, extension.key_index, now);
    }

    fn drop_sealed_frame(
        &mut self,
        id: TrackId,
        drop: FrameDrop,
        reason: EncryptionErrorReason,
        key_index: u8,
        now: Instant,
    ) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.dropped.count(drop);
        let event = self.errors.count(&track.publisher, reason, key_index, 1, now);
        self.events.extend(event);
    }

    #[inline]
    fn deliver(&mut self, id: TrackId, frame: AssembledFrame, completed_at: Instant, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.completed += 1;
        let sealed = match self.encryption {
            Encryption::Custom => frame.extensions.e2ee,
            Encryption::None | Encryption::Native(_) => None,
        };
        let frame = Frame {
            number: frame.number,
            timestamp: frame.timestamp,
            user_timestamp: frame.extensions.user_timestamp,
            sealed,
            payload: frame.payload,
            completed_at,
            latched: false,
        };
        let Some((&last, others)) = track.streams.split_last() else { return };
        for &stream in others {
            buffer(&mut self.streams, &mut self.readable, stream, frame.clone(), now);
        }
        buffer(&mut self.streams, &mut self.readable, last, frame, now);
    }

    // Readers.

    /// The reader of a stream waits for frames. Returns whether there are some. If not,
    /// [`poll_readable`](Self::poll_readable) names the stream once there are. The request lasts until the first frame
    /// is read.
    pub fn request_frames(&mut self, stream: StreamId) -> bool {
        let Some(state) = self.streams.get_mut(&stream) else { return false };
        state.wanted = true;
        state.is_readable()
    }

    /// Whether [`poll_readable`](Self::poll_readable) would name a stream.
    pub fn has_readable(&self) -> bool {
        !self.readable.is_empty()
    }

    /// The next stream that has frames and a waiting reader. Each such stream is named once. If it was not read to the
    /// end, put it back with [`push_back_readable`](Self::push_back_readable).
    pub fn poll_readable(&mut self) -> Option<StreamId> {
        let stream = self.readable.pop_front()?;
        if let Some(state) = self.streams.get_mut(&stream) {
            state.listed = false;
        }
        Some(stream)
    }

    /// The stream's reader still waits for the remaining frames.
    pub fn push_back_readable(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.wanted = true;
            if state.is_readable() && !state.listed {
                state.listed = true;
                self.readable.push_back(stream);
            }
        }
    }

    /// The length of the payload that [`read_frame`](Self::read_frame) would return, in bytes.
    pub fn next_frame_len(&mut self, stream: StreamId, now: Instant) -> Option<usize> {
        self.streams.get_mut(&stream)?.front_len(now)
    }

    /// Takes the oldest frame of a stream.
    pub fn read_frame(&mut self, stream: StreamId) -> Option<Frame> {
        let state = self.streams.get_mut(&stream)?;
        let frame = state.pop()?;
        state.wanted = false;
        Some(frame)
    }

    /// Counts a frame that was read and could not be decoded.
    pub fn count_decode_failure(&mut self, stream: StreamId) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.count_decode_failure();
        }
    }

    /// Counts a frame that was handed out sealed and that the application could not open.
    pub fn count_open_failure(&mut self, stream: StreamId, key_index: u8, now: Instant) {
        let Some(state) = self.streams.get_mut(&stream) else { return };
        state.count_decode_failure();
        let Some(track) = self.tracks.get(&state.track) else { return };
        let reason = EncryptionErrorReason::DecryptionFailed;
        let event = self.errors.count(&track.publisher, reason, key_index, 1, now);
        self.events.extend(event);
    }
}

#[inline]
fn buffer(
    streams: &mut IntMap<StreamId, Stream>,
    readable: &mut VecDeque<StreamId>,
    id: StreamId,
    frame: Frame,
    now: Instant,
) {
    let Some(stream) = streams.get_mut(&id) else { return };
    stream.push(frame, now);
    if stream.wanted && !stream.listed && stream.is_readable() {
        stream.listed = true;
        readable.push_back(id);
    }
}
