//! Events on their way to JavaScript: `NativeEvent` in `src/native/native.ts`.

use std::ffi::CStr;

use bytes::Bytes;
use datatrack::e2ee::E2eeError;
use datatrack::publisher::{PublishError, PublisherEvent, UnpublishedBy};
use datatrack::subscriber::{EncryptionErrorReason, SubscribeError, SubscriberEvent};
use datatrack_transport::LinkEvent;
use datatrack_transport::connection::{ConnectionEvent, DescriptionKind, PeerState, Target};
use datatrack_transport::peer::ChannelKind;
use datatrack_transport::relay::RelayError;

use crate::convert::options::put_description;
use crate::js::error::{Code, Failure};
use crate::js::{IntoJs, Js, Value};

/// An event and the number of the session, or the connection, it comes from.
pub(crate) struct SourceEvent {
    pub(crate) source: u32,
    pub(crate) event: Event,
}

pub(crate) enum Event {
    Link(LinkEvent),
    Connection(ConnectionEvent),
    /// There are messages to be taken by `pollMessages`.
    MessagesReady,
    /// An audio stream has frames to be taken by `read`.
    AudioReady,
    /// An audio source has room again, or nothing waits in it any more.
    AudioProgress,
}

/// The reason that a `DataTrackPublishError` has, and the text behind it where there is one.
pub(crate) fn publish_reason(error: &PublishError) -> &'static str {
    match error {
        PublishError::NotAllowed => "notAllowed",
        PublishError::DuplicateName => "duplicateName",
        PublishError::InvalidName => "invalidName",
        PublishError::Timeout => "timeout",
        PublishError::LimitReached => "limitReached",
        PublishError::Disconnected => "disconnected",
        PublishError::InvalidSchema(_) => "invalidSchema",
        PublishError::Cancelled => "cancelled",
        PublishError::EncryptionMismatch => "encryptionMismatch",
        PublishError::NoEncryption => "noEncryption",
        PublishError::Internal(_) => "internal",
    }
}

/// The reason that a `DataTrackSubscribeError` has.
pub(crate) const fn subscribe_reason(error: SubscribeError) -> &'static str {
    match error {
        SubscribeError::Unpublished => "unpublished",
        SubscribeError::Timeout => "timeout",
        SubscribeError::NotAllowed => "notAllowed",
        SubscribeError::Disconnected => "disconnected",
        SubscribeError::Unencrypted => "unencrypted",
        SubscribeError::Encrypted => "noDecryption",
        SubscribeError::StreamExists => "internal",
    }
}

const fn e2ee_reason(error: E2eeError) -> &'static str {
    match error {
        E2eeError::NoKey { .. } => "missingKey",
        E2eeError::Disabled => "unsupported",
        // Checked before it is called: only a bug of ours, or of the cipher's library, comes here.
        E2eeError::KeyIndexOutOfRange { .. }
        | E2eeError::EmptyKeyMaterial
        | E2eeError::SharedKeyExpected
        | E2eeError::ParticipantKeyExpected
        | E2eeError::Derivation(_) => "internal",
    }
}

/// The reason of an `encryptionError` event.
const fn encryption_error_reason(reason: EncryptionErrorReason) -> &'static str {
    match reason {
        EncryptionErrorReason::MissingKey => "missingKey",
        EncryptionErrorReason::DecryptionFailed => "decryptionFailed",
        EncryptionErrorReason::Unencrypted => "unencrypted",
        EncryptionErrorReason::InvalidKey => "invalidKey",
    }
}

/// How a publication ended: the reason that a `DataTrackUnpublishedError` has.
const fn unpublished_reason(by: &UnpublishedBy) -> &'static str {
    match by {
        UnpublishedBy::Local => "local",
        UnpublishedBy::Sfu => "sfu",
        UnpublishedBy::Disconnected => "disconnected",
        UnpublishedBy::RepublishFailed(_) => "republishRejected",
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        Self::new(Code::Publish, Some(publish_reason(&error)), error.to_string())
    }
}

impl From<SubscribeError> for Failure {
    fn from(error: SubscribeError) -> Self {
        Self::new(Code::Subscribe, Some(subscribe_reason(error)), error.to_string())
    }
}

impl From<E2eeError> for Failure {
    fn from(error: E2eeError) -> Self {
        Self::new(Code::E2ee, Some(e2ee_reason(error)), error.to_string())
    }
}

impl IntoJs for SourceEvent {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"source", self.source)?;
        match self.event {
            Event::Connection(event) => put_connection_event(js, object, event)?,
            Event::MessagesReady => js.put(object, c"type", "messages")?,
            Event::AudioReady => js.put(object, c"type", "audioFrames")?,
            Event::AudioProgress => js.put(object, c"type", "audioProgress")?,
            Event::Link(LinkEvent::Publisher(event)) => put_publisher_event(js, object, event)?,
            Event::Link(LinkEvent::Subscriber(event)) => put_subscriber_event(js, object, event)?,
            Event::Link(LinkEvent::KeysChanged) => js.put(object, c"type", "keysChanged")?,
            Event::Link(LinkEvent::Failed(message)) => {
                js.put(object, c"type", "failed")?;
                js.put(object, c"message", message)?;
            }
        }
        Ok(object)
    }
}

fn put_publisher_event(js: Js, object: Value, event: PublisherEvent) -> Result<(), Failure> {
    let (kind, handle) = match &event {
        PublisherEvent::PublishRequest(request) => ("publishRequest", request.handle),
        PublisherEvent::UnpublishRequest { handle } => ("unpublishRequest", *handle),
        PublisherEvent::Published { handle, .. } => ("published", *handle),
        PublisherEvent::PublishFailed { handle, .. } => ("publishFailed", *handle),
        PublisherEvent::Republished { handle, .. } => ("republished", *handle),
        PublisherEvent::Unpublished { handle, .. } => ("unpublished", *handle),
        PublisherEvent::BufferedAmountLow { handle } => ("bufferedAmountLow", *handle),
    };
    js.put(object, c"type", kind)?;
    js.put(object, c"handle", u32::from(handle.get()))?;
    match event {
        PublisherEvent::PublishRequest(request) => put_description(
            js,
            object,
            &request.name,
            request.encryption,
            request.frame_encoding.as_ref(),
            request.schema.as_ref(),
        ),
        PublisherEvent::UnpublishRequest { .. } | PublisherEvent::BufferedAmountLow { .. } => Ok(()),
        PublisherEvent::Published { info, .. } | PublisherEvent::Republished { info, .. } => {
            js.put(object, c"info", info)
        }
        PublisherEvent::PublishFailed { error, .. } => {
            js.put(object, c"reason", publish_reason(&error))?;
            js.put(object, c"message", error.to_string())
        }
        PublisherEvent::Unpublished { by, .. } => {
            js.put(object, c"by", unpublished_reason(&by))?;
            let message = match by {
                UnpublishedBy::RepublishFailed(error) => error.to_string(),
                UnpublishedBy::Local | UnpublishedBy::Sfu | UnpublishedBy::Disconnected => String::new(),
            };
            js.put(object, c"message", message)
        }
    }
}

fn put_subscriber_event(js: Js, object: Value, event: SubscriberEvent) -> Result<(), Failure> {
    match event {
        SubscriberEvent::UpdateSubscription { sid, subscribe, target_fps } => {
            js.put(object, c"type", "updateSubscription")?;
            js.put(object, c"sid", sid.as_str())?;
            js.put(object, c"subscribe", subscribe)?;
            js.put(object, c"targetFps", target_fps)
        }
        SubscriberEvent::TrackPublished { track, publisher, info } => {
            js.put(object, c"type", "trackPublished")?;
            js.put(object, c"track", track.0)?;
            js.put(object, c"publisherIdentity", &*publisher)?;
            js.put(object, c"info", info)
        }
        SubscriberEvent::TrackUpdated { track, info } => {
            js.put(object, c"type", "trackUpdated")?;
            js.put(object, c"track", track.0)?;
            js.put(object, c"info", info)
        }
        SubscriberEvent::TrackUnpublished { track, publisher, sid, stats } => {
            js.put(object, c"type", "trackUnpublished")?;
            js.put(object, c"track", track.0)?;
            js.put(object, c"publisherIdentity", &*publisher)?;
            js.put(object, c"sid", sid.as_str())?;
            js.put(object, c"stats", stats)
        }
        SubscriberEvent::Subscribed { stream } => {
            js.put(object, c"type", "subscribed")?;
            js.put(object, c"stream", stream.0)
        }
        SubscriberEvent::LatestWanted { stream, track } => {
            js.put(object, c"type", "latestWanted")?;
            js.put(object, c"stream", stream.0)?;
            js.put(object, c"track", track.0)
        }
        SubscriberEvent::StreamEnded { stream, error } => {
            js.put(object, c"type", "streamEnded")?;
            js.put(object, c"stream", stream.0)?;
            js.put(object, c"reason", error.map(subscribe_reason))
        }
        SubscriberEvent::EncryptionError { publisher, reason, key_index, count } => {
            js.put(object, c"type", "encryptionError")?;
            js.put(object, c"publisherIdentity", &*publisher)?;
            js.put(object, c"reason", encryption_error_reason(reason))?;
            js.put(object, c"keyIndex", u32::from(key_index))?;
            js.put(object, c"count", count)
        }
    }
}

const fn target_text(target: Target) -> &'static str {
    match target {
        Target::Publisher => "publisher",
        Target::Subscriber => "subscriber",
    }
}

const fn state_text(state: PeerState) -> &'static str {
    match state {
        PeerState::Connecting => "connecting",
        PeerState::Connected => "connected",
        PeerState::Disconnected => "disconnected",
        PeerState::Silent => "silent",
        PeerState::NoUdpSocket => "noUdpSocket",
        PeerState::TimedOut => "timedOut",
        PeerState::Failed => "failed",
        PeerState::Closed => "closed",
    }
}

const fn relay_reason(error: RelayError) -> &'static str {
    match error {
        RelayError::Unresolved | RelayError::Unreachable => "relayUnreachable",
        RelayError::Untrusted => "relayUntrusted",
        RelayError::Unauthorized => "relayUnauthorized",
        RelayError::Forbidden => "relayForbidden",
        RelayError::Refused(_) | RelayError::Protocol => "relayFailed",
        RelayError::Proxy(_) => "proxyFailed",
    }
}

const fn channel_text(channel: ChannelKind) -> &'static str {
    match channel {
        ChannelKind::Reliable => "reliable",
        ChannelKind::Lossy => "lossy",
        ChannelKind::DataTrack => "dataTrack",
    }
}

fn put_connection_event(js: Js, object: Value, event: ConnectionEvent) -> Result<(), Failure> {
    let put = |name: &CStr, value: &str| js.put(object, name, value);
    match event {
        ConnectionEvent::LocalDescription { target, kind, sdp, id } => {
            put(c"type", "localDescription")?;
            put(c"target", target_text(target))?;
            put(
                c"kind",
                match kind {
                    DescriptionKind::Offer => "offer",
                    DescriptionKind::Answer => "answer",
                },
            )?;
            put(c"sdp", &sdp)?;
            js.put(object, c"id", id)
        }
        ConnectionEvent::LocalCandidate { target, candidate } => {
            put(c"type", "localCandidate")?;
            put(c"target", target_text(target))?;
            put(c"candidate", &candidate)
        }
        ConnectionEvent::DescriptionRejected { target, id, error } => {
            put(c"type", "descriptionRejected")?;
            put(c"target", target_text(target))?;
            js.put(object, c"id", id)?;
            put(c"message", &error.to_string())
        }
        ConnectionEvent::State { target, state } => {
            put(c"type", "peerState")?;
            put(c"target", target_text(target))?;
            put(c"state", state_text(state))
        }
        ConnectionEvent::RelayFailed { target, error, last } => {
            put(c"type", "relayFailed")?;
            put(c"target", target_text(target))?;
            put(c"reason", relay_reason(error))?;
            put(c"message", &error.to_string())?;
            js.put(object, c"last", last)
        }
        // They are not polled with the others.
        ConnectionEvent::Message { .. } => Ok(()),
        ConnectionEvent::BufferedAmountLow { channel } => {
            put(c"type", "channelBufferedAmountLow")?;
            put(c"channel", channel_text(channel))
        }
        ConnectionEvent::Lingered { id } => {
            put(c"type", "lingered")?;
            js.put(object, c"id", id)
        }
    }
}

/// `NativeMessage` in `src/native/native.ts`.
pub(crate) struct Message {
    pub(crate) channel: ChannelKind,
    pub(crate) data: Bytes,
}

impl IntoJs for Message {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"channel", channel_text(self.channel))?;
        js.put(object, c"data", &*self.data)?;
        Ok(object)
    }
}
