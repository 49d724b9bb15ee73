//! Options and infos as JavaScript passes them, turned into the core's.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use datatrack::depacketizer::DepacketizerOptions;
use datatrack::e2ee::{KeyDerivation, KeyOptions, SystemIvRandom};
use datatrack::packet::Handle;
use datatrack::packetizer::PacketizerOptions;
use datatrack::publisher::{PublishOptions, PublisherConfig, QueueOptions, SessionEncryption, WhenFull};
use datatrack::schema::{FrameEncoding, SchemaEncoding, SchemaId};
use datatrack::subscriber::{BufferPolicy, SubscribeOptions, SubscriberConfig};
use datatrack::{EncryptionType, TrackInfo, TrackSid};
use datatrack_transport::connection::{ConnectionMode, ConnectionOptions};
use datatrack_transport::network::NetworkOptions;
use datatrack_transport::peer::ChannelKind;
use datatrack_transport::proxy::Proxy;
use datatrack_transport::relay::{MAX_RELAYS, RelayServer, RelayTransport, Relays, Trust};
use datatrack_transport::{Clock, LinkOptions};

use crate::js::error::{Code, Failure};
use crate::js::{Argument, IntoJs, Js, Value};

/// The largest number that a JavaScript number holds exactly.
pub(crate) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The longest time that an option may name: 24 days, what JavaScript's timers take.
const MAX_MS: f64 = 2_147_483_647.0;

/// Packets that a frame may have at most, by the format.
const MAX_PACKETS: u64 = 32_767;

fn milliseconds(argument: Argument<'_>) -> Result<Duration, Failure> {
    argument.number(0.0..=MAX_MS).map(|ms| Duration::from_secs_f64(ms / 1_000.0))
}

/// As above; `Infinity` turns it off.
fn milliseconds_or_never(argument: Argument<'_>) -> Result<Option<Duration>, Failure> {
    let ms = argument.number(0.0..=f64::INFINITY)?;
    Ok(if ms > MAX_MS { None } else { Some(Duration::from_secs_f64(ms / 1_000.0)) })
}

/// A count or size; numbers beyond what the machine addresses are as good as the largest.
fn size(argument: Argument<'_>) -> Result<usize, Failure> {
    argument.integer(0..=MAX_SAFE_INTEGER).map(|size| usize::try_from(size).unwrap_or(usize::MAX))
}

fn packets(argument: Argument<'_>) -> Result<u16, Failure> {
    // At most 32,767.
    argument.integer(1..=MAX_PACKETS).map(|packets| u16::try_from(packets).unwrap_or(u16::MAX))
}

pub(crate) fn connection_options(argument: Argument<'_>) -> Result<ConnectionOptions, Failure> {
    let object = argument.object()?;
    let mode = match object.field(c"mode")?.string()?.as_str() {
        "single" => ConnectionMode::Single,
        "dual" => ConnectionMode::Dual,
        _ => return Err(Failure::out_of_range("options.mode must be single or dual")),
    };
    Ok(ConnectionOptions {
        next_session: object.field(c"nextSession")?.boolean()?,
        udp: object.field(c"udp")?.boolean()?,
        tcp: object.field(c"tcp")?.boolean()?,
        relay: object.field(c"relay")?.boolean()?,
        ..ConnectionOptions::new(mode)
    })
}

/// `NativeRelays` in `src/native/native.ts`.
pub(crate) fn relays(argument: Argument<'_>) -> Result<Relays, Failure> {
    let object = argument.object()?;
    let servers = object.field(c"servers")?.elements(MAX_RELAYS)?;
    Ok(Relays {
        servers: servers.map(|server| relay_server(server?)).collect::<Result<_, _>>()?,
        anywhere: object.field(c"anywhere")?.boolean()?,
        only: object.field(c"only")?.boolean()?,
        trust: Arc::new(Trust::new(object.field(c"ca")?.string()?)),
    })
}

fn relay_server(argument: Argument<'_>) -> Result<RelayServer, Failure> {
    let object = argument.object()?;
    let transport = match object.field(c"transport")?.string()?.as_str() {
        "udp" => RelayTransport::Udp,
        "tcp" => RelayTransport::Tcp,
        "tls" => RelayTransport::Tls,
        _ => return Err(Failure::out_of_range("servers.transport must be udp, tcp or tls")),
    };
    Ok(RelayServer {
        host: object.field(c"host")?.string()?,
        port: object.field(c"port")?.u16()?,
        transport,
        username: object.field(c"username")?.string()?,
        credential: object.field(c"credential")?.string()?,
        proxy: proxy(object.field(c"proxy")?)?,
    })
}

/// `NativeProxy` in `src/native/native.ts`, or `null`.
pub(crate) fn proxy(argument: Argument<'_>) -> Result<Option<Proxy>, Failure> {
    argument.optional(|argument| {
        let object = argument.object()?;
        let authorization = object.field(c"authorization")?.string()?;
        Ok(Proxy {
            host: object.field(c"host")?.string()?,
            port: object.field(c"port")?.u16()?,
            authorization: (!authorization.is_empty()).then_some(authorization),
        })
    })
}

/// A channel for messages.
pub(crate) fn channel(argument: Argument<'_>) -> Result<ChannelKind, Failure> {
    match argument.string()?.as_str() {
        "reliable" => Ok(ChannelKind::Reliable),
        "lossy" => Ok(ChannelKind::Lossy),
        _ => Err(Failure::out_of_range(format!("{argument} must be reliable or lossy"))),
    }
}

/// A track's or subscriber's handle, 1 to 65,535.
pub(crate) fn handle(argument: Argument<'_>) -> Result<Handle, Failure> {
    let number = argument.integer(1..=65_535)?;
    u16::try_from(number)
        .ok()
        .and_then(Handle::new)
        .ok_or_else(|| Failure::out_of_range(format!("{argument} must be from 1 to 65535")))
}

/// What the well-known encodings, custom ones and unknown numbers look like as text.
pub(crate) trait EncodingText: Sized {
    fn from_well_known(name: &str) -> Option<Self>;
    fn from_other(number: u32) -> Self;
    fn from_custom(name: &str) -> Self;
    fn to_text(&self) -> String;

    fn from_text(text: &str) -> Option<Self> {
        if let Some(custom) = text.strip_prefix("custom:") {
            return Some(Self::from_custom(custom));
        }
        if let Some(number) = text.strip_prefix("other:") {
            return number.parse().ok().map(Self::from_other);
        }
        Self::from_well_known(text)
    }
}

macro_rules! encoding_text {
    ($name:ident) => {
        impl EncodingText for $name {
            fn from_well_known(name: &str) -> Option<Self> {
                Self::from_name(name)
            }

            fn from_other(number: u32) -> Self {
                Self::from_number(number)
            }

            fn from_custom(name: &str) -> Self {
                Self::Custom(name.into())
            }

            fn to_text(&self) -> String {
                match self {
                    Self::Custom(name) => format!("custom:{name}"),
                    Self::Other(number) => format!("other:{number}"),
                    known => known.to_string(),
                }
            }
        }
    };
}

encoding_text!(FrameEncoding);
encoding_text!(SchemaEncoding);

/// The three fields that say what payloads are, as text.
struct Metadata {
    frame_encoding: Option<String>,
    schema_name: Option<String>,
    schema_encoding: Option<String>,
}

impl Metadata {
    fn read(object: Argument<'_>) -> Result<Self, Failure> {
        Ok(Self {
            frame_encoding: object.field(c"frameEncoding")?.optional(Argument::string)?,
            schema_name: object.field(c"schemaName")?.optional(Argument::string)?,
            schema_encoding: object.field(c"schemaEncoding")?.optional(Argument::string)?,
        })
    }

    /// `None` if they make no sense.
    fn parse(self) -> Option<(Option<FrameEncoding>, Option<SchemaId>)> {
        let frame_encoding = match self.frame_encoding {
            Some(text) => Some(FrameEncoding::from_text(&text)?),
            None => None,
        };
        let schema = match (self.schema_name, self.schema_encoding) {
            (Some(name), Some(encoding)) => {
                Some(SchemaId { name: name.into(), encoding: SchemaEncoding::from_text(&encoding)? })
            }
            (None, None) => None,
            _ => return None,
        };
        Some((frame_encoding, schema))
    }
}

/// `NativePublishOptions`.
pub(crate) fn publish_options(argument: Argument<'_>) -> Result<PublishOptions, Failure> {
    let options = argument.object()?;
    let metadata = Metadata::read(options)?;
    let (frame_encoding, schema) = metadata.parse().ok_or_else(|| {
        let message = "a schema needs a name and an encoding that is known or custom";
        Failure::new(Code::Publish, Some("invalidSchema"), message)
    })?;
    Ok(PublishOptions {
        name: options.field(c"name")?.string()?.into(),
        encrypted: options.field(c"encrypted")?.boolean()?,
        frame_encoding,
        schema,
        queue: QueueOptions {
            max_bytes: size(options.field(c"maxQueueBytes")?)?,
            max_age: milliseconds_or_never(options.field(c"maxQueueAgeMs")?)?,
            when_full: if options.field(c"refuseWhenFull")?.boolean()? {
                WhenFull::Refuse
            } else {
                WhenFull::DropOldest
            },
        },
        packetizer: PacketizerOptions {
            max_packets_per_frame: packets(options.field(c"maxPacketsPerFrame")?)?,
        },
    })
}

/// `NativeSubscribeOptions`.
pub(crate) fn subscribe_options(argument: Argument<'_>) -> Result<SubscribeOptions, Failure> {
    let options = argument.object()?;
    let buffer_size = options.field(c"bufferSize")?;
    let exactly = buffer_size.optional(|argument| argument.u32_within(1..=u32::MAX))?;
    let buffer = match exactly {
        Some(frames) => BufferPolicy::Frames(frames as usize),
        None => BufferPolicy::Bounded {
            max_frames: size(options.field(c"maxBufferFrames")?)?,
            max_bytes: size(options.field(c"maxBufferBytes")?)?,
            max_age: milliseconds_or_never(options.field(c"maxBufferAgeMs")?)?,
        },
    };
    Ok(SubscribeOptions {
        buffer,
        target_fps: options.field(c"targetFps")?.u32()?,
        allow_unencrypted: options.field(c"allowUnencrypted")?.boolean()?,
        latest: options.field(c"latest")?.boolean()?,
    })
}

/// `NativePipelineOptions`.
pub(crate) fn pipeline_options(argument: Argument<'_>) -> Result<DepacketizerOptions, Failure> {
    let options = argument.object()?;
    Ok(DepacketizerOptions {
        max_partial_frames: options.field(c"maxPartialFrames")?.u32_within(1..=64)? as usize,
        partial_frame_timeout: milliseconds(options.field(c"partialFrameTimeoutMs")?)?,
        max_packets_per_frame: packets(options.field(c"maxPacketsPerFrame")?)?,
        max_frame_len: size(options.field(c"maxFrameBytes")?)?,
    })
}

/// `NativeSessionOptions`.
pub(crate) fn session_options(argument: Argument<'_>, clock: Clock) -> Result<LinkOptions, Failure> {
    let options = argument.object()?;
    let derivation = match options.field(c"keyDerivation")?.string()?.as_str() {
        "PBKDF2" => KeyDerivation::Pbkdf2,
        "HKDF" => KeyDerivation::Hkdf,
        _ => return Err(Failure::out_of_range("options.keyDerivation must be PBKDF2 or HKDF")),
    };
    let keys = KeyOptions {
        derivation,
        shared: options.field(c"sharedKey")?.boolean()?,
        ratchet_window: options.field(c"ratchetWindow")?.u8_within(0..=u8::MAX)?,
        // Within the range, so it fits.
        #[allow(clippy::cast_possible_truncation)]
        failure_tolerance: options.field(c"failureTolerance")?.number(-1.0..=f64::from(i32::MAX))? as i32,
    };
    let encryption = match options.field(c"encryption")?.string()?.as_str() {
        "none" => SessionEncryption::None,
        "native" => SessionEncryption::Native(keys),
        "custom" => SessionEncryption::Custom,
        _ => return Err(Failure::out_of_range("options.encryption must be none, native or custom")),
    };
    // It has to differ and nothing more: the first draw of the crypto library's generator takes some 40 ms, and this is
    // JavaScript's thread.
    let [a, b, c, d, ..] = RandomState::new().hash_one(()).to_ne_bytes();
    Ok(LinkOptions {
        publisher: PublisherConfig {
            encryption: encryption.clone(),
            publish_timeout: milliseconds(options.field(c"publishTimeoutMs")?)?,
            timestamp_base: u32::from_ne_bytes([a, b, c, d]),
            iv_random: Box::new(SystemIvRandom::new()),
        },
        subscriber: SubscriberConfig {
            encryption,
            subscribe_timeout: milliseconds(options.field(c"subscribeTimeoutMs")?)?,
            paced_requests: options.field(c"pacedSubscriptions")?.boolean()?,
            early_packet_bytes: size(options.field(c"earlyPacketBytes")?)?,
            early_packet_age: milliseconds(options.field(c"earlyPacketMs")?)?,
            ..SubscriberConfig::default()
        },
        clock,
    })
}

/// `NativeNetworkOptions`.
pub(crate) fn network_options(argument: Argument<'_>) -> Result<NetworkOptions, Failure> {
    let options = argument.object()?;
    Ok(NetworkOptions {
        seed: options.field(c"seed")?.integer(0..=MAX_SAFE_INTEGER)?,
        loss: options.field(c"loss")?.number(0.0..=1.0)?,
        duplicate: options.field(c"duplicate")?.number(0.0..=1.0)?,
        reorder: options.field(c"reorder")?.number(0.0..=1.0)?,
        delay: milliseconds(options.field(c"delayMs")?)?,
        jitter: milliseconds(options.field(c"jitterMs")?)?,
        bytes_per_second: options.field(c"bytesPerSecond")?.integer(0..=MAX_SAFE_INTEGER)?,
        stall: milliseconds(options.field(c"stallMs")?)?,
        stall_every: milliseconds(options.field(c"stallEveryMs")?)?,
    })
}

/// `NativeTrackInfo`; `None` if the SFU's values make no sense (wrong types are failures all the same).
pub(crate) fn track_info(argument: Argument<'_>) -> Result<Option<TrackInfo>, Failure> {
    let info = argument.object()?;
    let pub_handle = info.field(c"pubHandle")?.number(f64::NEG_INFINITY..=f64::INFINITY)?;
    let sid = info.field(c"sid")?.string()?;
    let name = info.field(c"name")?.string()?;
    let encrypted = info.field(c"encrypted")?.boolean()?;
    let metadata = Metadata::read(info)?;
    let parse = || {
        let valid = (1.0..=65_535.0).contains(&pub_handle) && pub_handle.fract() == 0.0;
        // In the range of a handle.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let pub_handle = Handle::new(if valid { pub_handle as u16 } else { 0 })?;
        let (frame_encoding, schema) = metadata.parse()?;
        Some(TrackInfo {
            pub_handle,
            sid: TrackSid::new(&sid).ok()?,
            name: name.into(),
            encryption: if encrypted { EncryptionType::Gcm } else { EncryptionType::None },
            frame_encoding,
            schema,
        })
    };
    Ok(parse())
}

/// Sets the fields of an info that describe the track, without handle and SID.
pub(crate) fn put_description(
    js: Js,
    object: Value,
    name: &str,
    encryption: EncryptionType,
    frame_encoding: Option<&FrameEncoding>,
    schema: Option<&SchemaId>,
) -> Result<(), Failure> {
    js.put(object, c"name", name)?;
    js.put(object, c"encrypted", encryption == EncryptionType::Gcm)?;
    js.put(object, c"frameEncoding", frame_encoding.map(EncodingText::to_text))?;
    js.put(object, c"schemaName", schema.map(|schema| &*schema.name))?;
    js.put(object, c"schemaEncoding", schema.map(|schema| schema.encoding.to_text()))
}

impl IntoJs for &TrackInfo {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        let object = js.object()?;
        js.put(object, c"pubHandle", u32::from(self.pub_handle.get()))?;
        js.put(object, c"sid", self.sid.as_str())?;
        put_description(
            js,
            object,
            &self.name,
            self.encryption,
            self.frame_encoding.as_ref(),
            self.schema.as_ref(),
        )?;
        Ok(object)
    }
}

impl IntoJs for TrackInfo {
    fn into_js(self, js: Js) -> Result<Value, Failure> {
        (&self).into_js(js)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_survive_the_way_to_text_and_back() {
        for encoding in [FrameEncoding::Json, FrameEncoding::Other(99), FrameEncoding::Custom("a:b".into())] {
            assert_eq!(FrameEncoding::from_text(&encoding.to_text()), Some(encoding));
        }
        for wrong in ["", "JSON", "other:", "other:x"] {
            assert_eq!(FrameEncoding::from_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn half_a_schema_makes_no_sense() {
        let half = Metadata {
            frame_encoding: Some("json".to_owned()),
            schema_name: Some("x".to_owned()),
            schema_encoding: None,
        };
        assert!(half.parse().is_none());
    }
}
