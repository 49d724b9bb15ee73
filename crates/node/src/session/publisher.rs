//! A session's publishing side, in the order of `NativeSession` in `src/native/native.ts`.

use datatrack::TrackInfo;
use datatrack::e2ee::IV_LEN;
use datatrack::packet::E2eeExtension;
use datatrack::publisher::{LastFrame, PublishRejection, PushFrameError};
use datatrack::stats::SendStats;
use datatrack_transport::Link;

use crate::convert::options::{self, MAX_SAFE_INTEGER, handle};
use crate::environment::handles::Key;
use crate::js::error::{Code, Failure};
use crate::js::{Argument, BytesError, Call, IntoJs, Js, Methods, Value, exports};
use crate::session::Session;

pub(super) static METHODS: Methods = exports! {
    c"publish" => publish,
    c"cancelPublish" => cancel_publish,
    c"unpublish" => unpublish,
    c"push" => push,
    c"pushWithTimestamp" => push_with_timestamp,
    c"pushSealed" => push_sealed,
    c"maxFrameLength" => max_frame_length,
    c"bufferedAmount" => buffered_amount,
    c"watchBuffered" => watch_buffered,
    c"lastFrame" => last_frame,
    c"sendStats" => send_stats,
    c"handlePublishResponse" => handle_publish_response,
    c"handlePublishRejected" => handle_publish_rejected,
    c"handleUnpublishResponse" => handle_unpublish_response,
    c"publishResponsesForSyncState" => publish_responses_for_sync_state,
};

/// `PushStatus` in `src/native/native.ts`. A push returns it instead of an error, which would cost more than the push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum PushStatus {
    Ok = 0,
    TrackUnpublished = 1,
    QueueFull = 2,
    Reconnecting = 3,
    Disconnected = 4,
    FrameTooLarge = 5,
    NoKey = 6,
    EncryptionFailed = 7,
    SharedMemory = 8,
    Panic = 9,
    NotPublished = 10,
}

impl From<PushFrameError> for PushStatus {
    fn from(error: PushFrameError) -> Self {
        match error {
            PushFrameError::NotPublished => Self::NotPublished,
            PushFrameError::TrackUnpublished => Self::TrackUnpublished,
            PushFrameError::QueueFull => Self::QueueFull,
            PushFrameError::Reconnecting => Self::Reconnecting,
            PushFrameError::Disconnected => Self::Disconnected,
            PushFrameError::FrameTooLarge { .. } => Self::FrameTooLarge,
            PushFrameError::NoKey => Self::NoKey,
            PushFrameError::EncryptionFailed => Self::EncryptionFailed,
        }
    }
}

impl IntoJs for PushStatus {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        js.u32(self as u32)
    }
}

fn publish(call: &Call) -> Result<u32, Failure> {
    let session = Session::of(call)?;
    let options = options::publish_options(call.argument(0, "options"))?;
    let handle =
        session.guarded(|link| Ok(link.publisher(|publisher, now| publisher.publish(options, now))?))?;
    session.environment()?.handles.add(call.js(), Key::publication(session.id, handle.get()));
    Ok(handle.get().into())
}

fn cancel_publish(call: &Call) -> Result<(), Failure> {
    with_handle(call, |link, handle| link.publisher(|publisher, _| publisher.cancel_publish(handle)))
}

fn unpublish(call: &Call) -> Result<(), Failure> {
    with_handle(call, |link, handle| link.publisher(|publisher, _| publisher.unpublish(handle)))
}

fn push(call: &Call) -> Result<PushStatus, Failure> {
    // −1: none.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    let user_timestamp = {
        let argument = call.argument(2, "userTimestamp");
        let number = argument.number(-1.0..=MAX_SAFE_INTEGER as f64)?;
        let whole = number as i64;
        if whole as f64 != number {
            return Err(Failure::out_of_range(format!("{argument} must be a whole number, not {number}")));
        }
        u64::try_from(whole).ok()
    };
    push_payload(call, |link, handle, payload| link.push(handle, payload, user_timestamp))
}

fn push_with_timestamp(call: &Call) -> Result<PushStatus, Failure> {
    let user_timestamp = call.argument(2, "userTimestamp").u64()?;
    push_payload(call, |link, handle, payload| link.push(handle, payload, Some(user_timestamp)))
}

fn push_sealed(call: &Call) -> Result<PushStatus, Failure> {
    let user_timestamp = call.argument(2, "userTimestamp").optional(Argument::u64)?;
    let key_index = call.argument(4, "keyIndex").u8_within(0..=u8::MAX)?;
    let iv = <[u8; IV_LEN]>::try_from(call.argument(3, "iv").bytes()?)
        .map_err(|_| Failure::out_of_range(format!("iv must have {IV_LEN} bytes")))?;
    let extension = E2eeExtension { key_index, iv };
    push_payload(call, |link, handle, payload| link.push_sealed(handle, payload, user_timestamp, extension))
}

fn push_payload(
    call: &Call,
    push: impl FnOnce(&Link, datatrack::Handle, &[u8]) -> Result<(), PushFrameError>,
) -> Result<PushStatus, Failure> {
    let session = Session::of(call)?;
    let handle = handle(call.argument(0, "handle"))?;
    let payload = call.argument(1, "payload");
    let bytes = match payload.try_bytes()? {
        Ok(bytes) => bytes,
        Err(BytesError::Shared) => return Ok(PushStatus::SharedMemory),
        Err(_) => payload.bytes()?,
    };
    match session.guarded(|link| Ok(push(link, handle, bytes))) {
        Ok(Ok(())) => Ok(PushStatus::Ok),
        Ok(Err(error)) => Ok(error.into()),
        Err(Failure::Error { code: Code::NativePanic, .. }) => Ok(PushStatus::Panic),
        Err(failure) => Err(failure),
    }
}

fn max_frame_length(call: &Call) -> Result<usize, Failure> {
    let with_timestamp = call.argument(1, "withTimestamp").boolean()?;
    with_handle(call, |link, handle| {
        link.publisher(|publisher, _| publisher.max_frame_len(handle, with_timestamp))
    })?
    .ok_or_else(unknown_track)
}

fn buffered_amount(call: &Call) -> Result<usize, Failure> {
    with_handle(call, |link, handle| link.publisher(|publisher, _| publisher.buffered_amount(handle)))
}

fn watch_buffered(call: &Call) -> Result<(), Failure> {
    let bytes = call.argument(1, "bytes").integer(0..=MAX_SAFE_INTEGER)?;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    with_handle(call, |link, handle| {
        link.publisher(|publisher, _| publisher.watch_buffered(handle, bytes));
    })
}

fn last_frame(call: &Call) -> Result<Option<LastFrame>, Failure> {
    with_handle(call, |link, handle| link.publisher(|publisher, _| publisher.last_frame(handle)))
}

fn send_stats(call: &Call) -> Result<SendStats, Failure> {
    with_handle(call, |link, handle| link.publisher(|publisher, _| publisher.track_stats(handle)))?
        .ok_or_else(unknown_track)
}

fn handle_publish_response(call: &Call) -> Result<(), Failure> {
    let session = Session::of(call)?;
    // One that makes no sense answers nothing: the request times out.
    let Some(info) = options::track_info(call.argument(0, "info"))? else { return Ok(()) };
    session.guarded(|link| {
        link.publisher(|publisher, _| publisher.handle_publish_response(info));
        Ok(())
    })
}

fn handle_publish_rejected(call: &Call) -> Result<(), Failure> {
    let reason = call.argument(1, "reason").string()?;
    let message = call.argument(2, "message").string()?;
    let rejection = match reason.as_str() {
        "notAllowed" => PublishRejection::NotAllowed,
        "duplicateName" => PublishRejection::DuplicateName,
        "duplicateHandle" => PublishRejection::DuplicateHandle,
        "invalidName" => PublishRejection::InvalidName,
        "limitReached" => PublishRejection::LimitReached,
        "unknown" => PublishRejection::Other(message),
        other => return Err(Failure::out_of_range(format!("reason {other:?} is none of a rejection"))),
    };
    with_handle(call, |link, handle| {
        link.publisher(|publisher, _| publisher.handle_publish_rejected(handle, rejection));
    })
}

fn handle_unpublish_response(call: &Call) -> Result<(), Failure> {
    with_handle(call, |link, handle| {
        link.publisher(|publisher, _| publisher.handle_unpublish_response(handle));
    })
}

fn publish_responses_for_sync_state(call: &Call) -> Result<Vec<TrackInfo>, Failure> {
    Session::of(call)?
        .guarded(|link| Ok(link.publisher(|publisher, _| publisher.publish_responses_for_sync_state())))
}

fn unknown_track() -> Failure {
    Failure::closed("there is no such publication")
}

/// For methods whose first argument is a handle.
fn with_handle<T>(call: &Call, body: impl FnOnce(&Link, datatrack::Handle) -> T) -> Result<T, Failure> {
    let session = Session::of(call)?;
    let handle = handle(call.argument(0, "handle"))?;
    session.guarded(|link| Ok(body(link, handle)))
}
