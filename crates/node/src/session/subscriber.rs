//! A session's subscribing side, in the order of `NativeSession` in `src/native/native.ts`.

use bytes::Bytes;
use datatrack::TrackSid;
use datatrack::stats::{FrameStats, PacketStats, StreamStats};
use datatrack::subscriber::{Frame, StreamId, TrackId};

use crate::convert::options;
use crate::environment::drain::Drain;
use crate::environment::handles::{Key, Kind};
use crate::js::error::Failure;
use crate::js::{Argument, Call, Methods, exports};
use crate::session::Session;

/// Tracks or handles that one message may name; handles have 16 bits.
const MAX_ENTRIES: u32 = 65_535;

pub(super) static METHODS: Methods = exports! {
    c"handlePublicationUpdate" => handle_publication_update,
    c"handleSubscriberHandles" => handle_subscriber_handles,
    c"handleSubscriptionsSent" => handle_subscriptions_sent,
    c"handleSubscribingAllowed" => handle_subscribing_allowed,
    c"handleSubscriptionPermission" => handle_subscription_permission,
    c"subscribe" => subscribe,
    c"unsubscribe" => unsubscribe,
    c"readStream" => read_stream,
    c"provideLatest" => provide_latest,
    c"setPipelineOptions" => set_pipeline_options,
    c"trackStats" => track_stats,
    c"streamStats" => stream_stats,
    c"packetStats" => packet_stats,
    c"countDecodeFailure" => count_decode_failure,
    c"countOpenFailure" => count_open_failure,
};

fn handle_publication_update(call: &Call) -> Result<(), Failure> {
    let session = Session::of(call)?;
    let publisher = call.argument(0, "publisherIdentity").string()?;
    let mut infos = Vec::new();
    for track in call.argument(1, "tracks").elements(MAX_ENTRIES)? {
        infos.extend(options::track_info(track?)?);
    }
    session.guarded(|link| {
        link.subscriber(|subscriber, now| subscriber.handle_publication_update(&publisher, infos, now));
        Ok(())
    })
}

fn handle_subscriber_handles(call: &Call) -> Result<(), Failure> {
    let session = Session::of(call)?;
    let handles = call.argument(0, "handles").elements(MAX_ENTRIES)?;
    let sids = call.argument(1, "sids").elements(MAX_ENTRIES)?;
    if handles.len() != sids.len() {
        return Err(Failure::out_of_range("handles and sids must have the same length"));
    }
    let mut table = Vec::with_capacity(handles.len());
    for (handle, sid) in handles.zip(sids) {
        let handle = options::handle(handle?);
        let sid = TrackSid::new(&sid?.string()?);
        // An entry that makes no sense is skipped, as in all that the SFU says.
        if let (Ok(handle), Ok(sid)) = (handle, sid) {
            table.push((handle, sid));
        }
    }
    session.guarded(|link| {
        link.subscriber(|subscriber, now| subscriber.handle_subscriber_handles(table, now));
        Ok(())
    })
}

fn handle_subscriptions_sent(call: &Call) -> Result<(), Failure> {
    let session = Session::of(call)?;
    let mut sids = Vec::new();
    for sid in call.argument(0, "sids").elements(MAX_ENTRIES)? {
        sids.extend(TrackSid::new(&sid?.string()?).ok());
    }
    session.guarded(|link| {
        link.subscriber(|subscriber, now| {
            for sid in &sids {
                subscriber.handle_subscription_sent(sid, now);
            }
        });
        Ok(())
    })
}

fn handle_subscribing_allowed(call: &Call) -> Result<(), Failure> {
    let allowed = call.argument(0, "allowed").boolean()?;
    Session::of(call)?.guarded(|link| {
        link.subscriber(|subscriber, _| subscriber.handle_subscribing_allowed(allowed));
        Ok(())
    })
}

fn handle_subscription_permission(call: &Call) -> Result<(), Failure> {
    let sid = TrackSid::new(&call.argument(0, "sid").string()?);
    let allowed = call.argument(1, "allowed").boolean()?;
    let Ok(sid) = sid else { return Ok(()) };
    Session::of(call)?.guarded(|link| {
        link.subscriber(|subscriber, now| subscriber.handle_subscription_permission(&sid, allowed, now));
        Ok(())
    })
}

fn subscribe(call: &Call) -> Result<u32, Failure> {
    let session = Session::of(call)?;
    let environment = session.environment()?;
    let track = TrackId(call.argument(0, "track").u32()?);
    let options = options::subscribe_options(call.argument(1, "options"))?;
    let stream = session.guarded(|link| Ok(link.subscribe(track, options)?))?.0;
    session.streams.borrow_mut().insert(stream);
    environment.handles.add(call.js(), Key::new(Kind::Stream, stream));
    Ok(stream)
}

/// Returns the stream's last counters, `null` if there is no such stream (any more).
fn unsubscribe(call: &Call) -> Result<Option<StreamStats>, Failure> {
    let session = Session::of(call)?;
    let stream = call.argument(0, "stream").u32()?;
    if session.streams.borrow_mut().remove(&stream)
        && let Ok(environment) = session.environment()
    {
        environment.handles.remove(Key::new(Kind::Stream, stream));
    }
    session.guarded(|link| Ok(link.subscriber(|subscriber, _| subscriber.unsubscribe(StreamId(stream)))))
}

/// Frames of one stream, whether it has demand or not. A stream that was closed has none.
fn read_stream(call: &Call) -> Result<u32, Failure> {
    let session = Session::of(call)?;
    let environment = session.environment()?;
    let stream = stream(call)?;
    let mut drain = Drain::begin(call, 1, &environment.buffers)?;
    session.guarded(|link| {
        link.subscriber(|subscriber, now| {
            if drain.take(subscriber, stream, usize::MAX, now) == 0 && subscriber.request_frames(stream) {
                // There was no space for the first one: the next drain has some.
                subscriber.push_back_readable(stream);
            }
        });
        Ok(())
    })?;
    Ok(drain.finish(&environment.buffers))
}

/// The last frame of a latched track, or `null` for none.
fn provide_latest(call: &Call) -> Result<(), Failure> {
    let session = Session::of(call)?;
    let stream = stream(call)?;
    let payload =
        call.argument(1, "payload").optional(|payload| Ok(Bytes::copy_from_slice(payload.bytes()?)))?;
    let number = call.argument(2, "number").u16()?;
    let timestamp = call.argument(3, "timestamp").u32()?;
    let user_timestamp = call.argument(4, "userTimestamp").optional(Argument::u64)?;
    session.guarded(|link| {
        link.subscriber(|subscriber, now| {
            let frame = payload.map(|payload| Frame {
                number,
                timestamp,
                user_timestamp,
                sealed: None,
                payload: payload.into(),
                completed_at: now,
                latched: true,
            });
            subscriber.provide_latest(stream, frame, now);
        });
        Ok(())
    })
}

fn set_pipeline_options(call: &Call) -> Result<(), Failure> {
    let track = TrackId(call.argument(0, "track").u32()?);
    let options = options::pipeline_options(call.argument(1, "options"))?;
    Session::of(call)?.guarded(|link| {
        link.subscriber(|subscriber, _| subscriber.set_pipeline_options(track, options));
        Ok(())
    })
}

fn track_stats(call: &Call) -> Result<FrameStats, Failure> {
    let track = TrackId(call.argument(0, "track").u32()?);
    Session::of(call)?
        .guarded(|link| Ok(link.subscriber(|subscriber, _| subscriber.track_stats(track))))?
        .ok_or_else(|| Failure::closed("there is no such track"))
}

fn stream_stats(call: &Call) -> Result<StreamStats, Failure> {
    let stream = stream(call)?;
    Session::of(call)?
        .guarded(|link| Ok(link.subscriber(|subscriber, _| subscriber.stream_stats(stream))))?
        .ok_or_else(|| Failure::closed("there is no such stream"))
}

fn packet_stats(call: &Call) -> Result<PacketStats, Failure> {
    Session::of(call)?.guarded(|link| Ok(link.subscriber(|subscriber, _| subscriber.packet_stats())))
}

fn count_decode_failure(call: &Call) -> Result<(), Failure> {
    let stream = stream(call)?;
    Session::of(call)?.guarded(|link| {
        link.subscriber(|subscriber, _| subscriber.count_decode_failure(stream));
        Ok(())
    })
}

fn count_open_failure(call: &Call) -> Result<(), Failure> {
    let stream = stream(call)?;
    let key_index = call.argument(1, "keyIndex").u8_within(0..=u8::MAX)?;
    Session::of(call)?.guarded(|link| {
        link.subscriber(|subscriber, now| {
            subscriber.count_open_failure(stream, key_index, now);
        });
        Ok(())
    })
}

fn stream(call: &Call) -> Result<StreamId, Failure> {
    call.argument(0, "stream").u32().map(StreamId)
}
