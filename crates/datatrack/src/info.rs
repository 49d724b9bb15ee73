use std::fmt;
use std::sync::Arc;

use crate::packet::Handle;
use crate::schema::{FrameEncoding, SchemaId};

/// The SFU's description of a published track (`livekit.DataTrackInfo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackInfo {
    /// The publisher's handle of the track. It stays the same when the SID changes.
    pub pub_handle: Handle,
    /// The SFU's identifier of the publication. It changes when the connection is rebuilt.
    pub sid: TrackSid,
    /// The name that the publisher chose: 1 to 256 bytes, unique for each publisher.
    pub name: Arc<str>,
    /// Whether frames are encrypted end to end.
    pub encryption: EncryptionType,
    /// The payloads' encoding, if the publisher named one.
    pub frame_encoding: Option<FrameEncoding>,
    /// The payloads' schema, if the publisher named one.
    pub schema: Option<SchemaId>,
}

/// `livekit.Encryption.Type`: the values that data tracks use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EncryptionType {
    /// Payloads are not encrypted.
    #[default]
    None,
    /// AES-GCM over whole frames.
    Gcm,
}

/// A data track's SID: `DTR_` followed by at least one byte. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackSid(Arc<str>);

/// The text is not a data track's SID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a data track SID is \"DTR_\" with up to 252 bytes after it")]
pub struct TrackSidError;

impl TrackSid {
    const PREFIX: &str = "DTR_";
    /// Longest SID that is accepted, in bytes. LiveKit's own have 16.
    pub const MAX_LEN: usize = 256;

    /// Checks the prefix and the length.
    pub fn new(sid: &str) -> Result<Self, TrackSidError> {
        let long_enough = sid.strip_prefix(Self::PREFIX).is_some_and(|rest| !rest.is_empty());
        if long_enough && sid.len() <= Self::MAX_LEN { Ok(Self(sid.into())) } else { Err(TrackSidError) }
    }

    /// The SID's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TrackSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TrackSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_track_sids_pass() {
        assert_eq!(TrackSid::new("DTR_a").map(|sid| sid.to_string()), Ok("DTR_a".to_owned()));
        for wrong in ["", "DTR_", "TR_abc", "dtr_abc"] {
            assert_eq!(TrackSid::new(wrong), Err(TrackSidError), "{wrong}");
        }
        assert_eq!(TrackSid::new(&format!("DTR_{}", "a".repeat(253))), Err(TrackSidError));
    }
}
