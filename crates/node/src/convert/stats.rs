//! Counters on their way to JavaScript.

use std::ffi::CStr;

use datatrack::stats::{
    FrameDrop, FrameDrops, FrameStats, PacketDrop, PacketDrops, PacketStats, SendDrop, SendDrops, SendStats,
    StreamDrop, StreamDrops, StreamStats,
};

use crate::js::error::Failure;
use crate::js::{IntoJs, Js, Value};

fn counters<const N: usize>(js: Js, fields: [(&CStr, u64); N]) -> Result<Value, Failure> {
    let object = js.object()?;
    for (name, count) in fields {
        js.put(object, name, count)?;
    }
    Ok(object)
}

/// Drops by reason, each under a name of its own; a new reason does not compile without one.
macro_rules! drops_into_js {
    ($counters:ident, $reason:ident { $($variant:ident => $name:literal,)* }) => {
        impl IntoJs for $counters {
            fn into_js(self, js: Js) -> Result<Value, Failure> {
                const fn name(reason: $reason) -> &'static CStr {
                    match reason {
                        $($reason::$variant => $name,)*
                    }
                }
                let object = js.object()?;
                for &reason in $reason::ALL {
                    js.put(object, name(reason), self.get(reason))?;
                }
                Ok(object)
            }
        }
    };
}

drops_into_js!(SendDrops, SendDrop {
    QueueFull => c"queueFull",
    TimedOut => c"timedOut",
    Unpublished => c"unpublished",
    ConnectionLost => c"connectionLost",
    NoKey => c"noKey",
});

drops_into_js!(PacketDrops, PacketDrop {
    Malformed => c"malformed",
    UnknownHandle => c"unknownHandle",
    StaleEpoch => c"staleEpoch",
    Duplicate => c"duplicate",
    Superseded => c"superseded",
    Inconsistent => c"inconsistent",
    Unsubscribed => c"unsubscribed",
});

drops_into_js!(FrameDrops, FrameDrop {
    Incomplete => c"incomplete",
    Superseded => c"superseded",
    TimedOut => c"timedOut",
    Malformed => c"malformed",
    DecryptionFailed => c"decryptionFailed",
    NoKey => c"noKey",
    Unencrypted => c"unencrypted",
    Ended => c"ended",
});

drops_into_js!(StreamDrops, StreamDrop {
    TooSlow => c"tooSlow",
    Closed => c"closed",
    DecodeFailed => c"decodeFailed",
});

impl IntoJs for SendStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = counters(
            js,
            [
                (c"pushed", self.pushed),
                (c"sent", self.sent),
                (c"queued", self.queued),
                (c"queuedBytes", self.queued_bytes),
                (c"packetsSent", self.packets_sent),
                (c"bytesSent", self.bytes_sent),
                (c"refused", self.refused),
            ],
        )?;
        js.put(object, c"dropped", self.dropped)?;
        Ok(object)
    }
}

impl IntoJs for PacketStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = counters(
            js,
            [
                (c"received", self.received),
                (c"bytesReceived", self.bytes_received),
                (c"accepted", self.accepted),
                (c"held", self.held),
            ],
        )?;
        js.put(object, c"dropped", self.dropped)?;
        Ok(object)
    }
}

impl IntoJs for FrameStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object =
            counters(js, [(c"opened", self.opened), (c"completed", self.completed), (c"open", self.open)])?;
        js.put(object, c"dropped", self.dropped)?;
        Ok(object)
    }
}

impl IntoJs for StreamStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = counters(
            js,
            [
                (c"received", self.received),
                (c"delivered", self.delivered),
                (c"buffered", self.buffered),
                (c"bufferedBytes", self.buffered_bytes),
            ],
        )?;
        js.put(object, c"dropped", self.dropped)?;
        Ok(object)
    }
}
