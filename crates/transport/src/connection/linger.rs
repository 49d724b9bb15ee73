//! Lingers: they wait until accepted data has reached the server. Only then does signalling end the track or the
//! session.

use std::time::{Duration, Instant};

use super::outgoing::Outgoing;
use super::{ConnectionStats, Linger};
use crate::Link;
use crate::peer::{ChannelKind, PROBE, Peer};

/// The longest time that a linger may take. The caller waits for it, and so may the end of the process.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// The time between the server's acknowledgement of a message and the end of a linger. The server's SCTP acknowledges
/// messages that the server has not forwarded yet, and another thread of the server handles signalling.
const GRACE: Duration = Duration::from_millis(20);

/// The lingers that have not ended.
#[derive(Debug, Default)]
pub(super) struct Lingers {
    waiting: Vec<Waiting>,
    /// The time of the last acknowledgement.
    acknowledged_at: Option<Instant>,
    /// Bytes that the server has acknowledged.
    acknowledged: u64,
    /// The number of messages sent when an acknowledgement was last requested.
    asked_after: Option<u64>,
}

#[derive(Debug)]
struct Waiting {
    id: u32,
    what: Linger,
    until: Instant,
    /// The bytes that the server has to acknowledge on each channel. `None` while data waits outside of the channels.
    marks: Option<[u64; 3]>,
    /// When the server had acknowledged them.
    reached: Option<Instant>,
}

impl Lingers {
    pub(super) fn start(&mut self, id: u32, what: Linger, now: Instant) {
        self.waiting.push(Waiting { id, what, until: now + LINGER_TIMEOUT, marks: None, reached: None });
    }

    /// The time of the next [`turn`](Self::turn) that is due without other events.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = |linger: &Waiting| linger.reached.map_or(linger.until, |at| linger.until.min(at + GRACE));
        self.waiting.iter().map(due).min()
    }

    /// Whether no linger waits. Then a [`turn`](Self::turn) would do nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The bytes that the server has acknowledged on all channels together: a linger that starts later has to know when
    /// the last acknowledgement came.
    pub(super) fn note(&mut self, acknowledged: u64, now: Instant) {
        if acknowledged > self.acknowledged {
            self.acknowledged_at = Some(now);
        }
        self.acknowledged = acknowledged;
    }

    /// Reads what was acknowledged. Appends the lingers that have ended to `over`.
    pub(super) fn turn(
        &mut self,
        peer: &mut Peer,
        link: &Link,
        outgoing: &mut Outgoing,
        stats: &ConnectionStats,
        now: Instant,
        over: &mut Vec<u32>,
    ) {
        self.note(ChannelKind::ALL.into_iter().map(|channel| peer.acknowledged(channel)).sum(), now);
        let connected = peer.is_connected();
        let last = self.acknowledged_at;
        for linger in &mut self.waiting {
            linger.advance(peer, link, outgoing, last, now);
        }
        self.waiting.retain(|linger| {
            let done = linger.reached.is_some_and(|at| now.saturating_duration_since(at) >= GRACE);
            let end = done || !connected || linger.until <= now;
            if end {
                over.push(linger.id);
            }
            !end
        });
        self.ask(peer, stats, now);
    }

    /// Makes the server acknowledge at once. SCTP delays the acknowledgement of a lone packet by 200 ms, and a second
    /// packet ends that delay.
    fn ask(&mut self, peer: &mut Peer, stats: &ConnectionStats, now: Instant) {
        let sent = stats.reliable.messages_sent + stats.lossy.messages_sent + stats.data_track.messages_sent;
        let waits = self.waiting.iter().any(|linger| linger.marks.is_some() && linger.reached.is_none());
        if waits && self.asked_after != Some(sent) {
            self.asked_after = Some(sent);
            peer.flush(now);
            peer.write(ChannelKind::Lossy, &PROBE, now);
            peer.flush(now);
        }
    }
}

impl Waiting {
    fn advance(
        &mut self,
        peer: &mut Peer,
        link: &Link,
        outgoing: &mut Outgoing,
        last: Option<Instant>,
        now: Instant,
    ) {
        let mut began = false;
        if self.marks.is_none() && self.what.left_the_queues(link, outgoing) {
            began = true;
            self.marks = Some(ChannelKind::ALL.map(|channel| {
                if self.what == Linger::DataTracks && channel != ChannelKind::DataTrack {
                    return 0;
                }
                peer.written(channel)
            }));
        }
        let Some(marks) = self.marks else { return };
        if self.reached.is_none()
            && ChannelKind::ALL
                .into_iter()
                .zip(marks)
                .all(|(channel, mark)| peer.acknowledged(channel) >= mark)
        {
            // Data that was acknowledged before the linger began has had a part of its grace, or all of it.
            self.reached = if began { last.or(now.checked_sub(GRACE)) } else { Some(now) };
        }
    }
}

impl Linger {
    /// Whether no data of this linger waits outside of the channels.
    fn left_the_queues(self, link: &Link, outgoing: &mut Outgoing) -> bool {
        match self {
            Self::DataTracks => true,
            Self::Everything => outgoing.is_empty() && link.publisher(|publisher, _| publisher.is_drained()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datatrack::e2ee::SystemIvRandom;
    use datatrack::publisher::{PublisherConfig, SessionEncryption};
    use datatrack::subscriber::SubscriberConfig;

    use super::*;
    use crate::{Clock, LinkHost, LinkOptions};

    struct SilentHost;

    impl LinkHost for SilentHost {
        fn events_ready(&self) {}
        fn frames_ready(&self) {}
        fn work_ready(&self) {}
        fn spawn_blocking(&self, _: Box<dyn FnOnce() + Send>) {}
    }

    fn link() -> Arc<Link> {
        let publisher = PublisherConfig {
            encryption: SessionEncryption::None,
            publish_timeout: PublisherConfig::PUBLISH_TIMEOUT,
            timestamp_base: 0,
            iv_random: Box::new(SystemIvRandom::new()),
        };
        let options =
            LinkOptions { publisher, subscriber: SubscriberConfig::default(), clock: Clock::start() };
        Link::new(options, Arc::new(SilentHost))
    }

    #[test]
    fn it_lasts_no_longer_than_its_time_and_the_grace_after_an_acknowledgement() {
        let start = Instant::now();
        let mut lingers = Lingers::default();
        lingers.start(1, Linger::Everything, start);
        assert_eq!(lingers.deadline(), Some(start + LINGER_TIMEOUT));
        for linger in &mut lingers.waiting {
            linger.reached = Some(start);
        }
        assert_eq!(lingers.deadline(), Some(start + GRACE));
        lingers.start(2, Linger::DataTracks, start);
        let (mut over, mut outgoing) = (Vec::new(), Outgoing::default());
        let mut peer = Peer::offering(start);
        let stats = ConnectionStats::default();
        lingers.turn(&mut peer, &link(), &mut outgoing, &stats, start + LINGER_TIMEOUT, &mut over);
        assert_eq!((over, lingers.deadline()), (vec![1, 2], None));
    }
}
