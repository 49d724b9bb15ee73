//! Counters on their way to JavaScript.

use std::ffi::CStr;

use datatrack::stats::{
    FrameDrop, FrameDrops, FrameStats, PacketDrop, PacketDrops, PacketStats, SendDrop, SendDrops, SendStats,
    StreamDrop, StreamDrops, StreamStats,
};
use datatrack_transport::connection::{ChannelStats, ConnectionStats};
use datatrack_transport::loopback::HubStats;
use datatrack_transport::peer::{PathKind, PeerStats, Protocol};

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

impl IntoJs for ConnectionStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let subscriber = self.subscriber.unwrap_or_default();
        let object = js.object()?;
        let rtt = self.publisher.rtt.map_or(-1.0, |rtt| rtt.as_secs_f64() * 1_000.0);
        js.put(object, c"rttMs", rtt)?;
        let over_tcp = [self.publisher.protocol, subscriber.protocol].contains(&Some(Protocol::Tcp));
        js.put(object, c"overTcp", over_tcp)?;
        js.put(object, c"bytesSent", self.publisher.bytes_sent + subscriber.bytes_sent)?;
        js.put(object, c"bytesReceived", self.publisher.bytes_received + subscriber.bytes_received)?;
        js.put(object, c"datagramsLost", self.publisher.datagrams_lost + subscriber.datagrams_lost)?;
        js.put(object, c"packetsSent", self.data_track.messages_sent)?;
        js.put(object, c"packetsReceived", self.data_track.messages_received)?;
        js.put(object, c"buffered", self.data_track.buffered)?;
        js.put(object, c"bufferLimit", self.data_track_limit)?;
        js.put(object, c"publisher", self.publisher)?;
        js.put(object, c"subscriber", self.subscriber)?;
        js.put(object, c"dataTrack", self.data_track)?;
        js.put(object, c"reliable", self.reliable)?;
        js.put(object, c"lossy", self.lossy)?;
        Ok(object)
    }
}

impl IntoJs for PeerStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"rttMs", self.rtt.map_or(-1.0, |rtt| rtt.as_secs_f64() * 1_000.0))?;
        let protocol = self.protocol.map(|protocol| match protocol {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
        });
        js.put(object, c"protocol", protocol.unwrap_or(""))?;
        let kind = self.kind.map(|kind| match kind {
            PathKind::Host => "host",
            PathKind::ServerReflexive => "srflx",
            PathKind::PeerReflexive => "prflx",
            PathKind::Relayed => "relay",
        });
        js.put(object, c"candidateType", kind.unwrap_or(""))?;
        js.put(object, c"datagramsSent", self.datagrams_sent)?;
        js.put(object, c"datagramsReceived", self.datagrams_received)?;
        js.put(object, c"datagramsRejected", self.datagrams_rejected)?;
        js.put(object, c"datagramsLost", self.datagrams_lost)?;
        js.put(object, c"bytesSent", self.bytes_sent)?;
        js.put(object, c"bytesReceived", self.bytes_received)?;
        Ok(object)
    }
}

impl IntoJs for ChannelStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"messagesSent", self.messages_sent)?;
        js.put(object, c"messagesReceived", self.messages_received)?;
        js.put(object, c"bytesSent", self.bytes_sent)?;
        js.put(object, c"bytesReceived", self.bytes_received)?;
        js.put(object, c"dropped", self.dropped)?;
        js.put(object, c"buffered", self.buffered)?;
        Ok(object)
    }
}

impl IntoJs for HubStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"forwarded", self.forwarded)?;
        js.put(object, c"lost", self.network.lost)?;
        js.put(object, c"duplicated", self.network.duplicated)?;
        js.put(object, c"reordered", self.network.reordered)?;
        js.put(object, c"noRoute", self.no_route)?;
        Ok(object)
    }
}
