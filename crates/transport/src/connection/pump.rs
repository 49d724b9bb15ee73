use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::limit::{BacklogLimit, UNKNOWN_RTT};
use super::outgoing::Outgoing;
use super::{ConnectionStats, lock};
use crate::Link;
use crate::peer::{ChannelKind, PROBE, Peer, Sent};

/// Bytes that are written to the data track's channel before datagrams are read and others have their turn.
const WRITE_BUDGET: usize = 128 << 10;

/// Bytes that `_lossy` may hold. Further messages wait outside, where they are counted.
const LOSSY_IN_CHANNEL: usize = 128 << 10;

/// Bytes of data tracks that may wait in the channel while messages of `_reliable` are sent. SCTP sends unordered
/// messages first, so these bytes delay a message of `_reliable`.
const QUEUE_BESIDE_RELIABLE: usize = 32 << 10;

/// How long after a message of `_reliable` the next one is expected. Packets that the channel holds by then cannot be
/// taken back to make way for it.
const NEXT_RELIABLE: Duration = Duration::from_secs(1);

/// How long the round trips of a path's first messages are measured.
const FIRST_ROUND_TRIPS: Duration = Duration::from_secs(5);

/// Writes waiting messages and packets to the channels of a peer connection, up to their limits.
#[derive(Debug)]
pub(super) struct Pump {
    data_track: BacklogLimit,
    reliable: BacklogLimit,
    /// When the channel last held a message of `_reliable`.
    last_reliable: Option<Instant>,
    /// Whether a message of `_reliable` was sent last. The other side delays the acknowledgement of such a message.
    lone: bool,
    /// The local and remote address of the measured path. `rtt` is its last RTT.
    path: (Option<SocketAddr>, Option<SocketAddr>),
    rtt: Option<Duration>,
    first: FirstRoundTrips,
}

/// Round trips of the first messages on a path. ICE measures the first RTT while everything starts, when everything is
/// slow, and the next one some seconds later. Without these measurements the limits would be those of a long path until
/// then. SCTP scans all data in flight for each datagram, and would do little else.
#[derive(Debug)]
struct FirstRoundTrips {
    /// The shortest round trip so far.
    best: Duration,
    /// When the first measurement began.
    begun: Option<Instant>,
    /// The running measurement: the channel, the bytes that the channel has to release, and when the last of them was
    /// written.
    waits: Option<(ChannelKind, u64, Instant)>,
}

impl FirstRoundTrips {
    const fn new() -> Self {
        Self { best: UNKNOWN_RTT, begun: None, waits: None }
    }

    /// The data that a channel holds was written, the last of it now.
    fn handle_written(&mut self, channel: ChannelKind, peer: &mut Peer, now: Instant) {
        let begun = *self.begun.get_or_insert(now);
        if self.waits.is_some() || now.saturating_duration_since(begun) >= FIRST_ROUND_TRIPS {
            return;
        }
        let held = peer.buffered(channel) as u64;
        if held > 0 {
            self.waits = Some((channel, peer.acknowledged(channel) + held, now));
        }
    }

    /// Returns a round trip if it is shorter than those before and than the assumed RTT. A longer one may include a
    /// delayed acknowledgement.
    fn poll(&mut self, peer: &mut Peer, now: Instant) -> Option<Duration> {
        let (channel, written, at) = self.waits?;
        if peer.acknowledged(channel) < written {
            return None;
        }
        self.waits = None;
        let rtt = now.saturating_duration_since(at);
        if rtt >= self.best {
            return None;
        }
        self.best = rtt;
        Some(rtt)
    }
}

impl Pump {
    pub(super) const fn new() -> Self {
        Self {
            data_track: BacklogLimit::new(),
            reliable: BacklogLimit::new(),
            last_reliable: None,
            lone: false,
            path: (None, None),
            rtt: None,
            first: FirstRoundTrips::new(),
        }
    }

    /// Bytes that the data track's channel may hold.
    pub(super) const fn limit(&self) -> usize {
        self.data_track.get()
    }

    /// Bytes that `_reliable` may hold.
    pub(super) const fn reliable_limit(&self) -> usize {
        self.reliable.get()
    }

    /// Runs one turn. Returns whether the turn's portion is used up.
    pub(super) fn run(
        &mut self,
        peer: &mut Peer,
        link: &Link,
        outgoing: &Mutex<Outgoing>,
        stats: &mut ConnectionStats,
        now: Instant,
    ) -> bool {
        self.measure(peer, now);
        let stalled = peer.is_stalled(now);
        if stalled {
            self.reliable.handle_stall();
            self.data_track.handle_stall();
        }
        let before = [stats.reliable.messages_sent, stats.data_track.messages_sent];
        let takes = |held, message| self.reliable.takes(held, message);
        let full = send_messages(ChannelKind::Reliable, takes, peer, outgoing, stats, now);
        if !stalled {
            self.reliable.handle_pump(full, peer.acknowledged(ChannelKind::Reliable), now);
        }
        let takes = |held, message| held + message <= LOSSY_IN_CHANNEL;
        send_messages(ChannelKind::Lossy, takes, peer, outgoing, stats, now);
        let more = self.send_packets(stalled, peer, link, stats, now);
        peer.flush(now);
        let [messages, packets] = before;
        if stats.reliable.messages_sent != messages {
            self.first.handle_written(ChannelKind::Reliable, peer, now);
        }
        if stats.data_track.messages_sent != packets {
            self.first.handle_written(ChannelKind::DataTrack, peer, now);
        }
        if stats.data_track.messages_sent != packets || full {
            self.lone = false;
        } else if stats.reliable.messages_sent != messages {
            self.lone = true;
        }
        // This is checked each turn: a caller may begin to wait only after the message was sent. Our SCTP asks for the
        // acknowledgement by itself, with the I bit (RFC 7053).
        if cfg!(feature = "sctp-stock") && self.lone && lock(outgoing).is_watched(ChannelKind::Reliable) {
            self.lone = false;
            ask_for_acknowledgement(peer, now);
        }
        more
    }

    fn measure(&mut self, peer: &mut Peer, now: Instant) {
        let stats = peer.stats();
        let path = (stats.local, stats.remote);
        if path != self.path {
            self.path = path;
            self.data_track = BacklogLimit::new();
            self.reliable = BacklogLimit::new();
            self.first = FirstRoundTrips::new();
        }
        if let Some(rtt) = self.first.poll(peer, now) {
            self.data_track.handle_rtt(rtt);
            self.reliable.handle_rtt(rtt);
        }
        if stats.rtt != self.rtt
            && let Some(rtt) = stats.rtt
        {
            self.rtt = Some(rtt);
            self.data_track.handle_rtt(rtt);
            self.reliable.handle_rtt(rtt);
        }
    }

    fn send_packets(
        &mut self,
        stalled: bool,
        peer: &mut Peer,
        link: &Link,
        stats: &mut ConnectionStats,
        now: Instant,
    ) -> bool {
        if peer.buffered(ChannelKind::Reliable) > 0 {
            self.last_reliable = Some(now);
        }
        let reliable =
            self.last_reliable.is_some_and(|last| now.saturating_duration_since(last) < NEXT_RELIABLE);
        // While the path is stalled, frames wait outside of the channel. There they are dropped when they are too old.
        let most = match (stalled, reliable) {
            (true, _) => 0,
            (false, true) => self.data_track.under_way() + QUEUE_BESIDE_RELIABLE,
            (false, false) => usize::MAX,
        };
        let most_rate = peer.stats().sctp.window_rate().unwrap_or(f64::MAX);
        let mut held = peer.buffered(ChannelKind::DataTrack);
        let mut written = 0;
        let sent = &mut stats.data_track;
        let full = loop {
            if written >= WRITE_BUDGET {
                return true;
            }
            let taken = link.transmit_after(self.data_track.wait(held, most_rate), |transmit| {
                let packet = transmit.packet;
                if held > 0 && (held + packet.len() > most || !self.data_track.takes(held, packet.len())) {
                    return false;
                }
                let until = || link.clock().to_std(transmit.fresh_until);
                match peer.write_until(ChannelKind::DataTrack, packet, until, now) {
                    Sent::Yes => {
                        held += packet.len();
                        written += packet.len().max(1);
                        sent.count_sent(packet.len());
                        true
                    }
                    // The packetizer makes no packet of that size. If there is one all the same, it must not block the
                    // others.
                    Sent::TooLarge => true,
                    Sent::Full | Sent::NotOpen => false,
                }
            });
            match taken {
                Some(true) => {}
                Some(false) => break true,
                None => break false,
            }
        };
        if !stalled {
            self.data_track.handle_pump(full, peer.acknowledged(ChannelKind::DataTrack), now);
        }
        false
    }
}

/// Forces the other side to acknowledge the last messages now. SCTP delays the acknowledgement of a lone packet by 200
/// ms. If a promise waits for it, we send a 5-byte dummy to force the acknowledgement.
fn ask_for_acknowledgement(peer: &mut Peer, now: Instant) {
    if peer.buffered(ChannelKind::Reliable) > 0
        && peer.buffered(ChannelKind::Lossy) == 0
        && peer.write(ChannelKind::Lossy, &PROBE, now) == Sent::Yes
    {
        peer.flush(now);
    }
}

/// Returns whether some messages have to wait.
fn send_messages(
    channel: ChannelKind,
    takes: impl Fn(usize, usize) -> bool,
    peer: &mut Peer,
    outgoing: &Mutex<Outgoing>,
    stats: &mut ConnectionStats,
    now: Instant,
) -> bool {
    let mut held = peer.buffered(channel);
    loop {
        // Not in the loop's head, which would hold the lock for the whole iteration.
        let Some(message) = lock(outgoing).front(channel) else { return false };
        if held > 0 && !takes(held, message.len()) || peer.write(channel, &message, now) != Sent::Yes {
            return true;
        }
        held += message.len();
        stats.channel(channel).count_sent(message.len());
        lock(outgoing).pop(channel);
    }
}

#[cfg(test)]
mod tests;
