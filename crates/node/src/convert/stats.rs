//! Counters, and what tells a frame from others, on their way to JavaScript.

use std::ffi::CStr;
use std::time::Duration;

use datatrack::publisher::LastFrame;
use datatrack::stats::{
    FrameDrop, FrameDrops, FrameStats, PacketDrop, PacketDrops, PacketStats, SendDrop, SendDrops, SendStats,
    StreamDrop, StreamDrops, StreamStats,
};
use datatrack_transport::connection::{ChannelStats, ConnectionStats};
use datatrack_transport::loopback::HubStats;
use datatrack_transport::network::NetworkStats;
use datatrack_transport::peer::{PathKind, PeerStats, Protocol, SctpStats};
use datatrack_transport::relay::RelayTransport;

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
    Superseded => c"superseded",
    DecodeFailed => c"decodeFailed",
});

impl IntoJs for LastFrame {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"number", u32::from(self.number))?;
        js.put(object, c"timestamp", self.timestamp)?;
        Ok(object)
    }
}

// Each of these functions names all fields of its structure: a new one does not compile until it is put here, too.

impl IntoJs for SendStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let Self { pushed, sent, dropped, queued, queued_bytes, packets_sent, bytes_sent, refused } = self;
        let object = counters(
            js,
            [
                (c"pushed", pushed),
                (c"sent", sent),
                (c"queued", queued),
                (c"queuedBytes", queued_bytes),
                (c"packetsSent", packets_sent),
                (c"bytesSent", bytes_sent),
                (c"refused", refused),
            ],
        )?;
        js.put(object, c"dropped", dropped)?;
        Ok(object)
    }
}

impl IntoJs for PacketStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let Self { received, bytes_received, accepted, dropped, held } = self;
        let object = counters(
            js,
            [
                (c"received", received),
                (c"bytesReceived", bytes_received),
                (c"accepted", accepted),
                (c"held", held),
            ],
        )?;
        js.put(object, c"dropped", dropped)?;
        Ok(object)
    }
}

impl IntoJs for FrameStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let Self { opened, completed, dropped, open } = self;
        let object = counters(js, [(c"opened", opened), (c"completed", completed), (c"open", open)])?;
        js.put(object, c"dropped", dropped)?;
        Ok(object)
    }
}

impl IntoJs for StreamStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let Self { received, delivered, dropped, buffered, buffered_bytes } = self;
        let object = counters(
            js,
            [
                (c"received", received),
                (c"delivered", delivered),
                (c"buffered", buffered),
                (c"bufferedBytes", buffered_bytes),
            ],
        )?;
        js.put(object, c"dropped", dropped)?;
        Ok(object)
    }
}

impl IntoJs for ConnectionStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let Self { publisher, subscriber, data_track, reliable, lossy, data_track_limit } = self;
        let second = subscriber.unwrap_or_default();
        let object = js.object()?;
        let rtt = publisher.rtt.map_or(-1.0, |rtt| rtt.as_secs_f64() * 1_000.0);
        js.put(object, c"rttMs", rtt)?;
        let tcp = ["tcp", "relay/tcp", "relay/tls"];
        let over_tcp = [&publisher, &second].into_iter().any(|peer| tcp.contains(&path(peer)));
        js.put(object, c"overTcp", over_tcp)?;
        js.put(object, c"overProxy", publisher.proxied || second.proxied)?;
        js.put(object, c"path", path(&publisher))?;
        js.put(object, c"bytesSent", publisher.bytes_sent + second.bytes_sent)?;
        js.put(object, c"bytesReceived", publisher.bytes_received + second.bytes_received)?;
        js.put(object, c"datagramsLost", publisher.datagrams_lost + second.datagrams_lost)?;
        js.put(object, c"packetsSent", data_track.messages_sent)?;
        js.put(object, c"packetsReceived", data_track.messages_received)?;
        js.put(object, c"buffered", data_track.buffered)?;
        js.put(object, c"bufferLimit", data_track_limit)?;
        js.put(object, c"sctp", publisher.sctp)?;
        js.put(object, c"publisher", publisher)?;
        js.put(object, c"subscriber", subscriber)?;
        js.put(object, c"dataTrack", data_track)?;
        js.put(object, c"reliable", reliable)?;
        js.put(object, c"lossy", lossy)?;
        Ok(object)
    }
}

/// How data reaches the server; empty while it does not.
const fn path(stats: &PeerStats) -> &'static str {
    match (stats.relay, stats.protocol) {
        (Some(RelayTransport::Udp), _) => "relay/udp",
        (Some(RelayTransport::Tcp), _) => "relay/tcp",
        (Some(RelayTransport::Tls), _) => "relay/tls",
        (None, Some(Protocol::Udp)) => "udp",
        (None, Some(Protocol::Tcp)) => "tcp",
        (None, None) => "",
    }
}

impl IntoJs for PeerStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let path = path(&self);
        let Self {
            rtt,
            protocol: _,
            relay: _,
            proxied: _,
            local: _,
            remote: _,
            kind,
            datagrams_sent,
            datagrams_received,
            bytes_sent,
            bytes_received,
            datagrams_rejected,
            datagrams_lost,
            sctp: _,
        } = self;
        let object = js.object()?;
        js.put(object, c"rttMs", rtt.map_or(-1.0, |rtt| rtt.as_secs_f64() * 1_000.0))?;
        js.put(object, c"path", path)?;
        let kind = kind.map(|kind| match kind {
            PathKind::Host => "host",
            PathKind::ServerReflexive => "srflx",
            PathKind::PeerReflexive => "prflx",
            PathKind::Relayed => "relay",
        });
        js.put(object, c"candidateType", kind.unwrap_or(""))?;
        js.put(object, c"datagramsSent", datagrams_sent)?;
        js.put(object, c"datagramsReceived", datagrams_received)?;
        js.put(object, c"datagramsRejected", datagrams_rejected)?;
        js.put(object, c"datagramsLost", datagrams_lost)?;
        js.put(object, c"bytesSent", bytes_sent)?;
        js.put(object, c"bytesReceived", bytes_received)?;
        Ok(object)
    }
}

impl IntoJs for SctpStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let ms = |time: Option<Duration>| time.map_or(-1.0, |time| time.as_secs_f64() * 1_000.0);
        let Self {
            congestion_window,
            bytes_in_flight,
            smoothed_rtt,
            least_rtt,
            queueing,
            chunks_lost,
            retransmissions,
        } = self;
        let object = js.object()?;
        js.put(object, c"congestionWindow", congestion_window)?;
        js.put(object, c"bytesInFlight", bytes_in_flight)?;
        js.put(object, c"rttMs", ms(smoothed_rtt))?;
        js.put(object, c"leastRttMs", ms(least_rtt))?;
        js.put(object, c"queueDelayMs", ms(queueing))?;
        js.put(object, c"chunksLost", chunks_lost)?;
        js.put(object, c"retransmissions", retransmissions)?;
        Ok(object)
    }
}

impl IntoJs for ChannelStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let Self { messages_sent, bytes_sent, messages_received, bytes_received, dropped, buffered } = self;
        let object = js.object()?;
        js.put(object, c"messagesSent", messages_sent)?;
        js.put(object, c"messagesReceived", messages_received)?;
        js.put(object, c"bytesSent", bytes_sent)?;
        js.put(object, c"bytesReceived", bytes_received)?;
        js.put(object, c"dropped", dropped)?;
        js.put(object, c"buffered", buffered)?;
        Ok(object)
    }
}

impl IntoJs for HubStats {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let Self { forwarded, no_route, network: NetworkStats { lost, duplicated, reordered } } = self;
        counters(
            js,
            [
                (c"forwarded", forwarded),
                (c"lost", lost),
                (c"duplicated", duplicated),
                (c"reordered", reordered),
                (c"noRoute", no_route),
            ],
        )
    }
}
