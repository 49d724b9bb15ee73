//! Counters that add up: each item is counted where it is, and each dropped item under a reason.
//!
//! - out, frames: `pushed = sent + Σ dropped + queued`
//! - in, frames of a track: `opened = completed + Σ dropped + open`
//! - in, frames of a stream: `received = delivered + Σ dropped + buffered`
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
            /// Counts one item.
            pub const fn count(&mut self, reason: $reason) {
                self.add(reason, 1);
            }

            /// Counts several items at once.
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
    /// Why a frame that was pushed was never sent.
    SendDrop, SendDrops {
        /// The track's queue was over its limit in bytes, and a newer frame took its place.
        QueueFull => queue_full;
        /// It had waited longer than the track's limit, and a newer frame was behind it.
        TimedOut => timed_out;
        /// The track ended while it was queued.
        Unpublished => unpublished;
        /// The connection was lost while it was queued or partly sent.
        ConnectionLost => connection_lost;
        /// No key came for it: too many frames waited for a key, or the key was removed.
        NoKey => no_key;
    }
}

drops! {
    /// Why a packet that arrived did not become part of a frame.
    PacketDrop, PacketDrops {
        /// It is not a data track packet of version 0.
        Malformed => malformed;
        /// Its handle is not in the SFU's table. The time or the space for packets that wait for the table had run out.
        UnknownHandle => unknown_handle;
        /// It belongs to an earlier server session.
        StaleEpoch => stale_epoch;
        /// The same packet came before, or its frame is already complete.
        Duplicate => duplicate;
        /// Its frame was given up: the frame was too old, was superseded, or its start did not arrive in time.
        Superseded => superseded;
        /// Its position contradicts other packets of the frame, or exceeds the limits.
        Inconsistent => inconsistent;
        /// No stream is subscribed to the track any more.
        Unsubscribed => unsubscribed;
    }
}

drops! {
    /// Why a frame of which packets had arrived was not completed.
    FrameDrop, FrameDrops {
        /// Newer frames took its place before all of its packets had arrived.
        Incomplete => incomplete;
        /// It is older than a delivered frame, and frames have to be delivered in order.
        Superseded => superseded;
        /// Its packets did not all arrive in time.
        TimedOut => timed_out;
        /// Its packets contradict each other, or it exceeds the size limits.
        Malformed => malformed;
        /// No available key opens it.
        DecryptionFailed => decryption_failed;
        /// There is no key for its publisher, or none came in time.
        NoKey => no_key;
        /// It should be encrypted, but it is not.
        Unencrypted => unencrypted;
        /// The subscription, the track or the connection ended first.
        Ended => ended;
    }
}

drops! {
    /// Why a complete frame never reached a stream's reader.
    StreamDrop, StreamDrops {
        /// The reader was too slow: the stream's buffer was full, or the frame was too old.
        TooSlow => too_slow;
        /// The stream was closed while frames were buffered.
        Closed => closed;
        /// The publisher's last frame, which it had kept, was the same frame or newer, and was delivered instead.
        Superseded => superseded;
        /// The codec could not decode it, and the stream was opened to skip such frames.
        DecodeFailed => decode_failed;
    }
}

/// Counters of a published track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendStats {
    /// Frames that `push` accepted. Refused frames do not count.
    pub pushed: u64,
    /// Frames whose last packet the transport accepted.
    pub sent: u64,
    /// Frames that were dropped after they were accepted.
    pub dropped: SendDrops,
    /// Frames in the queue. The frame that is being sent counts, too.
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
    /// Bytes of those packets, headers included.
    pub bytes_received: u64,
    /// Packets that became part of a frame.
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
    /// Frames that were completed, decrypted if sealed, and handed to the streams.
    pub completed: u64,
    /// Frames that were dropped.
    pub dropped: FrameDrops,
    /// Frames that miss packets or wait for a key.
    pub open: u64,
}

/// Counters of one stream of a remote track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamStats {
    /// Frames that were completed while the stream was open, and latched frames.
    pub received: u64,
    /// Frames that the reader took.
    pub delivered: u64,
    /// Frames that were dropped.
    pub dropped: StreamDrops,
    /// Frames that wait for the reader.
    pub buffered: u64,
    /// Memory of those frames, in bytes: their payloads, and 128 for each packet.
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
