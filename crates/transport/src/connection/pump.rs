use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::limit::{BacklogLimit, UNKNOWN_RTT};
use super::outgoing::Outgoing;
use super::{ConnectionStats, lock};
use crate::Link;
use crate::peer::{ChannelKind, PROBE, Peer, Sent};

/// Bytes written to the data track's channel before datagrams are read and others have their turn.
const WRITE_BUDGET: usize = 128 << 10;

/// Bytes that `_lossy` may hold; more waits outside, where it is counted.
const LOSSY_IN_CHANNEL: usize = 128 << 10;

/// Bytes of data tracks that may wait in the channel while there are messages of `_reliable`. SCTP sends unordered messages
/// first, so what waits there stands before them.
const QUEUE_BESIDE_RELIABLE: usize = 32 << 10;

/// How long after a message the next one is expected: what the channel holds then cannot be taken back for it.
const NEXT_RELIABLE: Duration = Duration::from_secs(1);

/// How long round trips of a path's first messages are measured.
const FIRST_ROUND_TRIPS: Duration = Duration::from_secs(5);

/// Gives what waits to the channels of a peer connection, as far as their limits go.
#[derive(Debug)]
pub(super) struct Pump {
    data_track: BacklogLimit,
    reliable: BacklogLimit,
    /// When there was a message of `_reliable` last.
    last_reliable: Option<Instant>,
    /// Whether the last thing that was sent was a message of `_reliable`, whose acknowledgement the other side puts off.
    lone: bool,
    /// The ends of the path that was measured, and its last round trip.
    path: (Option<SocketAddr>, Option<SocketAddr>),
    rtt: Option<Duration>,
    first: FirstRoundTrips,
}

/// Round trips of what is written first on a path. ICE measures one while everything starts, when all is slow, and the next
/// some seconds later: until then the limits would be those of a long path, and SCTP, which looks through all that is under
/// way with each datagram, would do little else.
#[derive(Debug)]
struct FirstRoundTrips {
    /// The shortest one.
    best: Duration,
    /// When the first one began.
    begun: Option<Instant>,
    /// What is waited for: bytes that the channel has to get rid of, and when the last of them was written.
    waits: Option<(ChannelKind, u64, Instant)>,
}

impl FirstRoundTrips {
    const fn new() -> Self {
        Self { best: UNKNOWN_RTT, begun: None, waits: None }
    }

    /// What a channel holds was written, the last of it now.
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

    /// A round trip that is shorter than those before, and than what is assumed without one: an acknowledgement may have
    /// been put off.
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

    /// One turn. Returns whether its portion is used up.
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
        // The next turn may be the one after somebody began to wait.
        if self.lone && lock(outgoing).is_watched(ChannelKind::Reliable) {
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
        // While the path stands still, frames wait outside, where they are dropped when they are old.
        let most = match (stalled, reliable) {
            (true, _) => 0,
            (false, true) => self.data_track.under_way() + QUEUE_BESIDE_RELIABLE,
            (false, false) => usize::MAX,
        };
        let mut held = peer.buffered(ChannelKind::DataTrack);
        let mut written = 0;
        let sent = &mut stats.data_track;
        let full = loop {
            if written >= WRITE_BUDGET {
                return true;
            }
            let taken = link.transmit_after(self.data_track.wait(held), |_, packet| {
                if held > 0 && (held + packet.len() > most || !self.data_track.takes(held, packet.len())) {
                    return false;
                }
                match peer.write(ChannelKind::DataTrack, packet, now) {
                    Sent::Yes => {
                        held += packet.len();
                        written += packet.len().max(1);
                        sent.count_sent(packet.len());
                        true
                    }
                    // The packetizer makes none of that size; one that came about all the same must not stand in the way.
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

/// Has the other side acknowledge the last messages now. SCTP puts the acknowledgement of a lone packet off by 200 ms, in
/// the hope for a second one, and whoever waits for a promise to resolve would wait for that; so it gets a second one.
fn ask_for_acknowledgement(peer: &mut Peer, now: Instant) {
    if peer.buffered(ChannelKind::Reliable) > 0
        && peer.buffered(ChannelKind::Lossy) == 0
        && peer.write(ChannelKind::Lossy, &PROBE, now) == Sent::Yes
    {
        peer.flush(now);
    }
}

/// Returns whether some have to wait.
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
        // Not in the loop's head, which would hold the lock all the way.
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
