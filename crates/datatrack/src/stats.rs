//! Counters that close: whatever came in is somewhere, and what was dropped has a reason.
//!
//! - out, frames: `pushed = sent + Σ dropped + queued`
//! - in, frames of a track: `opened = completed + Σ dropped + open`
//! - in, frames of a stream: `completed for it = delivered + Σ dropped + buffered`
//! - in, packets: `received = accepted + Σ dropped + held`

macro_rules! drops {
    ($(#[$doc:meta])* $reason:ident, $counters:ident { $($(#[$variant_doc:meta])* $variant:ident => $field:ident;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $reason {
            $($(#[$variant_doc])* $variant,)*
        }

        #[doc = concat!("How many were dropped, by [`", stringify!($reason), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $counters {
            $($(#[$variant_doc])* pub $field: u64,)*
        }

        impl $reason {
            /// Each reason, in the order of the fields of its counters.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
        }

        impl $counters {
            /// Counts one.
            pub const fn count(&mut self, reason: $reason) {
                self.add(reason, 1);
            }

            /// Counts several at once.
            pub const fn add(&mut self, reason: $reason, many: u64) {
                match reason {
                    $($reason::$variant => self.$field += many,)*
                }
            }

            /// How many were dropped for that reason.
            pub const fn get(&self, reason: $reason) -> u64 {
                match reason {
                    $($reason::$variant => self.$field,)*
                }
            }

            /// How many were dropped in all.
            pub const fn total(&self) -> u64 {
                0 $(+ self.$field)*
            }

            /// Adds another set of counters to this one.
            pub const fn merge(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

drops! {
    /// Why a frame that was pushed never left.
    SendDrop, SendDrops {
        /// The track's queue was over its limit in bytes, and a newer frame took its place.
        QueueFull => queue_full;
        /// It had waited longer than the track's limit while a newer one stood behind it.
        TimedOut => timed_out;
        /// The track ended while it was queued.
        Unpublished => unpublished;
        /// The connection was lost while it was queued or partly sent.
        ConnectionLost => connection_lost;
        /// No key came for it: the frames that wait for one were too many, or the key was taken away.
        NoKey => no_key;
    }
}

drops! {
    /// Why a packet that arrived did not become part of a frame.
    PacketDrop, PacketDrops {
        /// It is no data track packet of version 0.
        Malformed => malformed;
        /// Its handle is not in the SFU's table, and the wait for the table was over or full.
        UnknownHandle => unknown_handle;
        /// It belongs to an earlier session of the connection.
        StaleEpoch => stale_epoch;
        /// The same packet, or another one of a frame that is finished.
        Duplicate => duplicate;
        /// Its frame was given up: too old, superseded, or its start was never seen in time.
        Superseded => superseded;
        /// Its place in the frame contradicts what other packets of the frame say, or is beyond the limits.
        Inconsistent => inconsistent;
        /// Nobody subscribes to the track any more.
        Unsubscribed => unsubscribed;
    }
}

drops! {
    /// Why a frame that was opened was not completed.
    FrameDrop, FrameDrops {
        /// Newer frames took its place before all of its packets were there.
        Incomplete => incomplete;
        /// It is older than one that was delivered, and no older one may follow.
        Superseded => superseded;
        /// Its packets did not all come in time.
        TimedOut => timed_out;
        /// Its packets contradict each other or it is larger than the limits.
        Malformed => malformed;
        /// No key that we have opens it.
        DecryptionFailed => decryption_failed;
        /// There is no key for its publisher, or none came in time.
        NoKey => no_key;
        /// It should be encrypted and says that it is not.
        Unencrypted => unencrypted;
        /// The subscription, the track or the connection ended first.
        Ended => ended;
    }
}

drops! {
    /// Why a complete frame never reached the reader of a stream.
    StreamDrop, StreamDrops {
        /// The reader was too slow: the stream's buffer was full or the frame too old.
        TooSlow => too_slow;
        /// The stream was closed while frames were buffered.
        Closed => closed;
        /// The codec could not decode it, and the stream was asked to skip such frames.
        DecodeFailed => decode_failed;
    }
}

/// Counters of a published track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendStats {
    /// Frames accepted by `push`. Refused ones are not in it: they are the caller's still.
    pub pushed: u64,
    /// Frames whose last packet the transport accepted.
    pub sent: u64,
    /// Frames that were dropped after they were accepted.
    pub dropped: SendDrops,
    /// Frames in the queue, the one being sent included.
    pub queued: u64,
    /// Bytes in the queue, headers included.
    pub queued_bytes: u64,
    /// Packets accepted by the transport.
    pub packets_sent: u64,
    /// Bytes accepted by the transport, headers included.
    pub bytes_sent: u64,
    /// Pushes that were refused with an error.
    pub refused: u64,
}

/// Counters of packets that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacketStats {
    /// Packets that arrived.
    pub received: u64,
    /// Bytes that arrived, headers included.
    pub bytes_received: u64,
    /// Packets that went into a frame.
    pub accepted: u64,
    /// Packets that were dropped.
    pub dropped: PacketDrops,
    /// Packets that wait for the SFU's handle table.
    pub held: u64,
}

/// Counters of the frames of a remote track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameStats {
    /// Frames of which at least one packet was accepted.
    pub opened: u64,
    /// Frames that were completed, opened if sealed, and handed to the streams.
    pub completed: u64,
    /// Frames that were dropped.
    pub dropped: FrameDrops,
    /// Frames of which packets are missing, or which wait for a key.
    pub open: u64,
}

/// Counters of one stream of a remote track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamStats {
    /// Frames that were completed while the stream was open.
    pub received: u64,
    /// Frames that the reader took.
    pub delivered: u64,
    /// Frames that were dropped.
    pub dropped: StreamDrops,
    /// Frames that wait for the reader.
    pub buffered: u64,
    /// What they cost in memory, in bytes: their payloads, and 128 for each packet.
    pub buffered_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter() {
        let mut drops = FrameDrops::default();
        for (index, &reason) in FrameDrop::ALL.iter().enumerate() {
            drops.add(reason, 1 << index);
        }
        for (index, &reason) in FrameDrop::ALL.iter().enumerate() {
            assert_eq!(drops.get(reason), 1 << index, "{reason:?}");
        }
        assert_eq!(drops.total(), (1 << FrameDrop::ALL.len()) - 1);
    }

    #[test]
    fn merging_adds_each_counter() {
        let mut left = SendDrops::default();
        left.count(SendDrop::QueueFull);
        let mut right = SendDrops::default();
        right.add(SendDrop::QueueFull, 2);
        right.count(SendDrop::NoKey);
        left.merge(&right);
        assert_eq!((left.queue_full, left.no_key, left.total()), (3, 1, 4));
    }
}
