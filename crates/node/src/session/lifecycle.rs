//! A session's connection, its keys, and what a program calls that brings its own transport, in the order of
//! `NativeSession` in `src/native/native.ts`.

use std::sync::Arc;

use bytes::Bytes;
use datatrack::Payload;
use datatrack::e2ee::{E2eeError, IV_LEN, KeyMaterial, OpenOutcome};
use datatrack::packet::MTU;
use datatrack::publisher::SealedMessage;
use datatrack_transport::speaking::SenderStats;
use datatrack_transport::{KeysReady, Link};

use crate::audio;
use crate::audio_source;
use crate::connection;
use crate::convert::options::connection_options;
use crate::environment::Environment;
use crate::environment::owned::Owned;
use crate::environment::task::on_runtime;
use crate::js::error::Failure;
use crate::js::{Argument, Call, Methods, Value, exports};
use crate::session::Session;

/// Bytes at the end of the server's own frames, at most. livekit-server uses 16 or 48.
const MAX_TRAILER: usize = 1_024;

pub(super) static METHODS: Methods = exports! {
    c"handleConnectionLost" => handle_connection_lost,
    c"handleResumed" => handle_resumed,
    c"handleRebuilt" => handle_rebuilt,
    c"finish" => finish,
    c"close" => close,
    c"connect" => connect,
    c"openAudioStream" => open_audio_stream,
    c"setServerTrailer" => set_server_trailer,
    c"publishAudio" => publish_audio,
    c"unpublishAudio" => unpublish_audio,
    c"muteAudio" => mute_audio,
    c"audioSenderStats" => audio_sender_stats,
    c"setRef" => set_ref,
    c"testPanic" => test_panic,
    c"setKey" => set_key,
    c"ratchetKey" => ratchet_key,
    c"setSendKeyIndex" => set_send_key_index,
    c"sealMessage" => seal_message,
    c"openMessage" => open_message,
    c"pollTransmit" => poll_transmit,
    c"handlePacket" => handle_packet,
    c"nextTimeout" => next_timeout,
    c"handleTimeout" => handle_timeout,
};

fn with_link<T>(call: &Call, body: impl FnOnce(&Link) -> T) -> Result<T, Failure> {
    Session::of(call)?.guarded(|link| Ok(body(link)))
}

fn handle_connection_lost(call: &Call) -> Result<(), Failure> {
    with_link(call, Link::handle_connection_lost)
}

fn handle_resumed(call: &Call) -> Result<(), Failure> {
    with_link(call, Link::handle_resumed)
}

fn handle_rebuilt(call: &Call) -> Result<(), Failure> {
    with_link(call, Link::handle_rebuilt)
}

fn finish(call: &Call) -> Result<(), Failure> {
    with_link(call, Link::finish)
}

fn close(call: &Call) -> Result<(), Failure> {
    Session::of(call)?.close();
    Ok(())
}

fn connect(call: &Call) -> Result<Value, Failure> {
    let session = Session::of(call)?;
    let mut options = connection_options(call.argument(0, "options"))?;
    options.hearing = Arc::clone(&session.sound.hearing);
    options.speaking = Arc::clone(&session.sound.speaking);
    let signal = session.server_signal()?;
    connection::connect(call.js(), Environment::of(call)?, Arc::clone(&session.link), &signal, options)
}

fn open_audio_stream(call: &Call) -> Result<Value, Failure> {
    let session = Session::of(call)?;
    let signal = session.work_signal()?;
    let opener = Arc::clone(&session.link) as _;
    let stream = audio::open(call, Environment::of(call)?, &session.sound.hearing, opener)?;
    // The first frames are due soon.
    signal.notify();
    Ok(stream)
}

fn set_server_trailer(call: &Call) -> Result<(), Failure> {
    let trailer = call.argument(0, "trailer").bytes()?;
    if trailer.len() > MAX_TRAILER {
        return Err(Failure::out_of_range(format!("trailer must have at most {MAX_TRAILER} bytes")));
    }
    Session::of(call)?.sound.hearing.set_server_trailer(trailer);
    Ok(())
}

fn publish_audio(call: &Call) -> Result<(), Failure> {
    let session = Session::of(call)?;
    audio_source::publish(
        Environment::of(call)?,
        &session.sound.speaking,
        &session.link,
        call.argument(0, "options"),
    )
}

/// Returns what the track has counted, or `null`.
fn unpublish_audio(call: &Call) -> Result<Option<SenderStats>, Failure> {
    let cid = call.argument(0, "cid").string()?;
    Ok(Session::of(call)?.sound.speaking.remove(&cid))
}

fn mute_audio(call: &Call) -> Result<(), Failure> {
    let cid = call.argument(0, "cid").string()?;
    let muted = call.argument(1, "muted").boolean()?;
    Session::of(call)?.sound.speaking.set_muted(&cid, muted);
    Ok(())
}

fn audio_sender_stats(call: &Call) -> Result<Option<SenderStats>, Failure> {
    let cid = call.argument(0, "cid").string()?;
    Ok(Session::of(call)?.sound.speaking.stats(&cid))
}

fn set_ref(call: &Call) -> Result<(), Failure> {
    let keeps = call.argument(0, "ref").boolean()?;
    Session::of(call)?.set_ref(keeps);
    Ok(())
}

#[allow(clippy::panic)]
fn test_panic(call: &Call) -> Result<(), Failure> {
    Session::of(call)?.guarded(|link| {
        // With the lock held, as a bug would.
        link.publisher(|_, _| panic!("a panic on request"))
    })
}

fn set_key(call: &Call) -> Result<Value, Failure> {
    let identity = call.argument(0, "identity").optional(Argument::string)?;
    let index = call.argument(1, "keyIndex").u8_within(0..=u8::MAX)?;
    let cancel = call.argument(3, "cancel").optional(Argument::u32)?;
    let material = KeyMaterial::from(call.argument(2, "material").bytes()?);
    let ready = Session::of(call)?.guarded(|link| Ok(link.set_key(identity.as_deref(), index, &material)))?;
    when_ready(call, cancel, ready)
}

fn ratchet_key(call: &Call) -> Result<Value, Failure> {
    let identity = call.argument(0, "identity").optional(Argument::string)?;
    let index = call.argument(1, "keyIndex").u8_within(0..=u8::MAX)?;
    let cancel = call.argument(2, "cancel").optional(Argument::u32)?;
    let ready = Session::of(call)?.guarded(|link| Ok(link.ratchet_key(identity.as_deref(), index)))?;
    when_ready(call, cancel, ready)
}

/// The promise of keys in use; what is refused at once rejects it too.
fn when_ready(
    call: &Call,
    cancel: Option<u32>,
    ready: Result<KeysReady, E2eeError>,
) -> Result<Value, Failure> {
    on_runtime(call.js(), Environment::of(call)?, cancel, async move { Ok(ready?.wait().await?) })
}

fn set_send_key_index(call: &Call) -> Result<(), Failure> {
    let index = call.argument(0, "keyIndex").u8_within(0..=u8::MAX)?;
    Session::of(call)?.guarded(|link| Ok(link.publisher(|publisher, _| publisher.set_key_index(index))?))
}

/// `NativeSealedMessage`, or why there is none.
fn seal_message(call: &Call) -> Result<Value, Failure> {
    let message = call.argument(0, "message").bytes()?;
    let sealed = with_link(call, |link| link.seal_message(message))?;
    let js = call.js();
    match sealed {
        SealedMessage::Sealed(with, ciphertext) => {
            let object = js.object()?;
            js.put(object, c"keyIndex", u32::from(with.key_index))?;
            js.put(object, c"iv", &with.iv[..])?;
            js.put(object, c"ciphertext", &*ciphertext)?;
            Ok(object)
        }
        SealedMessage::Wait => js.string("wait"),
        SealedMessage::NoKey => js.string("missingKey"),
        SealedMessage::Failed => js.string("failed"),
    }
}

/// The message, or why it could not be opened.
fn open_message(call: &Call) -> Result<Value, Failure> {
    let sender = call.argument(0, "sender").string()?;
    let key_index = call.argument(1, "keyIndex").u8_within(0..=u8::MAX)?;
    let argument = call.argument(2, "iv");
    let iv: &[u8; IV_LEN] = argument
        .bytes()?
        .try_into()
        .map_err(|_| Failure::out_of_range(format!("{argument} must have {IV_LEN} bytes")))?;
    let sealed = Payload::from(Bytes::copy_from_slice(call.argument(3, "ciphertext").bytes()?));
    let opened = with_link(call, |link| link.open_message(&sender, key_index, iv, &sealed))?;
    let js = call.js();
    match opened {
        OpenOutcome::Opened(message) => js.bytes(&message),
        OpenOutcome::Wait => js.string("wait"),
        OpenOutcome::NoKey => js.string("missingKey"),
        OpenOutcome::Failed => js.string("decryptionFailed"),
        OpenOutcome::InvalidKey => js.string("invalidKey"),
    }
}

fn poll_transmit(call: &Call) -> Result<usize, Failure> {
    let argument = call.argument(0, "target");
    let target = argument.bytes_mut(call.js())?;
    if target.len() < MTU {
        return Err(Failure::out_of_range(format!("{argument} must have at least {MTU} bytes")));
    }
    with_link(call, |link| {
        let mut len = 0;
        link.transmit(|_, packet| {
            // A packet has at most MTU bytes.
            if let Some(room) = target.get_mut(..packet.len()) {
                room.copy_from_slice(packet);
                len = packet.len();
            }
            true
        });
        len
    })
}

fn handle_packet(call: &Call) -> Result<(), Failure> {
    let packet = Bytes::copy_from_slice(call.argument(0, "packet").bytes()?);
    with_link(call, |link| {
        link.subscriber(|subscriber, now| subscriber.handle_packet(packet, subscriber.epoch(), now));
    })
}

/// ms until the deadline, rounded up so that a timer does not come too early; −1: none.
fn next_timeout(call: &Call) -> Result<f64, Failure> {
    with_link(call, |link| match link.poll_timeout() {
        Some(deadline) => {
            let left = deadline.saturating_duration_since(link.clock().now());
            (left.as_secs_f64() * 1_000.0).ceil()
        }
        None => -1.0,
    })
}

fn handle_timeout(call: &Call) -> Result<(), Failure> {
    with_link(call, Link::handle_timeout)
}
