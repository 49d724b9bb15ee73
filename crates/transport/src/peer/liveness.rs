use std::time::{Duration, Instant};

/// How long the other side's SCTP may stay silent while ICE checks arrive and an acknowledgement is due. It is far
/// longer than a slow path takes, and longer than a few retransmissions need.
const SILENCE: Duration = Duration::from_secs(6);

/// Losses in a row, on a path on which ICE checks arrive, after which the association counts as lost. If each direction
/// loses one datagram in ten, this happens by chance once in seven hundred.
const LOSSES: u32 = 4;

/// The same right after a restart of ICE over a TCP connection. The connection is a new one, and loses nothing, so the
/// other side's first answer takes no longer than one to an ICE check.
const LOSSES_ON_NEW_STREAM: u32 = 2;

/// A gap in everything that arrives: the path stalled, or the other side was stopped. Answers to ICE checks alone arrive
/// every 0.4 s. SCTP's silence before such a gap does not count.
const PAUSE: Duration = Duration::from_secs(4);

/// How long an acknowledgement of the last datagram may take before the datagram counts as lost. It is SCTP's own
/// minimum.
const PATIENCE: Duration = Duration::from_secs(1);

/// After this time and two round trips without an acknowledgement, the channel counts as stalled. SCTP may delay its
/// acknowledgement by 200 ms, and a busy machine delays it longer, so this is more than 200 ms.
const STALLED: Duration = Duration::from_millis(300);

/// Whether the other side's SCTP still answers, judged by the kinds of datagrams that leave and arrive.
///
/// SCTP never times out here, because its crate leaves that to ICE. If ICE checks arrive but our data is never
/// acknowledged, the peer has lost the association.
#[derive(Debug)]
pub(super) struct Liveness {
    /// When the acknowledgement that is due was first awaited.
    unanswered: Option<Instant>,
    /// When more was written after that, so that more than one datagram is in flight.
    followed: Option<Instant>,
    /// When the last datagram arrived.
    heard: Instant,
    /// The start of the time in which datagrams arrive without a [`PAUSE`].
    audible: Instant,
    /// Losses since the later of `unanswered` and `audible`, and when the last one was seen.
    losses: u32,
    last_loss: Instant,
    /// Whether nothing of SCTP has arrived since ICE last found a path.
    mute: bool,
    /// SCTP datagrams that were sent, and when the last one was sent.
    sent: u64,
    last_sent: Instant,
}

impl Liveness {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            unanswered: None,
            followed: None,
            heard: now,
            audible: now,
            losses: 0,
            last_loss: now,
            mute: true,
            sent: 0,
            last_sent: now,
        }
    }

    /// ICE has a path, perhaps a new one. SCTP's silence before that does not count.
    pub(super) const fn handle_connected(&mut self, now: Instant) {
        self.heard = now;
        self.audible = now;
        self.losses = 0;
        self.mute = true;
    }

    /// A message was written to a channel.
    pub(super) fn handle_written(&mut self, now: Instant) {
        match self.unanswered {
            None => {
                self.unanswered = Some(now);
                self.followed = None;
                self.losses = 0;
            }
            Some(since) if self.followed.is_none() && now > since => self.followed = Some(now),
            Some(_) => {}
        }
    }

    /// A DTLS datagram was sent. It carries SCTP.
    pub(super) const fn handle_sent(&mut self, now: Instant) {
        self.sent += 1;
        self.last_sent = now;
    }

    /// A datagram arrived. `answer`: it was a DTLS datagram. `buffered`: data is left that has to be acknowledged.
    pub(super) fn handle_received(&mut self, answer: bool, buffered: bool, now: Instant) {
        if now.saturating_duration_since(self.heard) > PAUSE {
            self.audible = now;
            self.losses = 0;
        }
        self.heard = now;
        if answer {
            self.mute = false;
            self.unanswered = buffered.then_some(now);
            self.followed = None;
            self.losses = 0;
        }
    }

    /// Whether an acknowledgement is due.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.unanswered.is_some()
    }

    /// DTLS datagrams that were sent so far.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether acknowledgements have stopped for now. `several`: more is in flight than fits into one datagram.
    ///
    /// A lone datagram proves nothing. The other side delays its acknowledgement and waits for a second datagram. If
    /// the lone datagram was lost, only a second one makes the other side report the gap before SCTP's retransmission
    /// timer fires. So no stall is reported until a second datagram follows.
    pub(super) fn is_stalled(&self, several: bool, rtt: Duration, now: Instant) -> bool {
        let due = if several { self.unanswered } else { self.followed };
        due.is_some_and(|since| now.saturating_duration_since(since) > STALLED + 2 * rtt)
    }

    /// Whether the data in flight is lost. It is lost if a datagram arrived long after the acknowledgement should have.
    ///
    /// SCTP doubles its timeout after each loss in a row. After a stall of ten seconds it would stay silent for five
    /// more.
    pub(super) fn is_lost(&self, rtt: Duration) -> bool {
        self.unanswered.is_some_and(|since| {
            self.heard > since.max(self.last_sent).max(self.last_loss) + PATIENCE.max(2 * rtt)
        })
    }

    /// The data in flight is lost. SCTP sends it again now.
    pub(super) const fn handle_lost(&mut self, now: Instant) {
        self.losses += 1;
        self.last_loss = now;
    }

    /// Whether the peer has lost its SCTP association. `stream`: the path is a TCP connection.
    pub(super) fn is_dead(&self, stream: bool, now: Instant) -> bool {
        if stream && self.mute && self.losses >= LOSSES_ON_NEW_STREAM {
            return true;
        }
        self.losses >= LOSSES
            && self
                .unanswered
                .is_some_and(|since| now.saturating_duration_since(since.max(self.audible)) > SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const STEP: Duration = Duration::from_millis(1_500);
    const RTT: Duration = Duration::from_millis(20);

    /// One side writes at the start. Datagrams from the other side arrive each 1.5 s, except during `pause`. Returns
    /// the step at which the other side counts as dead.
    fn run(steps: u32, pause: std::ops::Range<u32>) -> Option<u32> {
        run_over(false, steps, pause)
    }

    fn run_over(stream: bool, steps: u32, pause: std::ops::Range<u32>) -> Option<u32> {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.handle_written(start);
        liveness.handle_sent(start);
        for step in 1..=steps {
            let now = start + step * STEP;
            if !pause.contains(&step) {
                liveness.handle_received(false, true, now);
            }
            if liveness.is_lost(RTT) {
                liveness.handle_lost(now);
                liveness.handle_sent(now);
            }
            if liveness.is_dead(stream, now) {
                return Some(step);
            }
        }
        None
    }

    #[test]
    fn ice_without_sctp_is_dead_after_some_seconds() {
        assert_eq!(run(60, 0..0), Some(5));
    }

    #[test]
    fn a_new_stream_is_judged_sooner_until_something_of_sctp_arrives() {
        assert_eq!(run_over(true, 60, 0..0), Some(2));
        assert_eq!(run_over(true, 60, 0..100), None);
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        for restart in 0..2 {
            let start = start + restart * 100 * SECOND;
            liveness.handle_connected(start);
            liveness.handle_received(true, false, start);
            liveness.handle_written(start);
            liveness.handle_sent(start);
            for loss in 1..=LOSSES_ON_NEW_STREAM {
                let now = start + loss * STEP;
                liveness.handle_received(false, true, now);
                assert!(liveness.is_lost(RTT));
                liveness.handle_lost(now);
                liveness.handle_sent(now);
                assert!(!liveness.is_dead(true, now));
            }
            liveness.handle_received(true, false, start + 50 * SECOND);
        }
    }

    #[test]
    fn a_side_that_is_not_heard_is_not_judged() {
        assert_eq!(run(60, 0..100), None);
        // The time before a long pause does not count. Losses within a pause count once.
        assert_eq!(run(60, 2..9), Some(14));
        assert_eq!(run(60, 2..4), Some(9));
        assert_eq!(run(60, 2..3), Some(5));
    }

    #[test]
    fn a_peer_that_answers_is_not_dead() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        for round in 0..600 {
            let now = start + round * SECOND / 10;
            liveness.handle_written(now);
            liveness.handle_sent(now);
            assert!(
                !liveness.is_stalled(true, RTT, now)
                    && !liveness.is_lost(RTT)
                    && !liveness.is_dead(false, now)
            );
            liveness.handle_received(true, round % 2 == 0, now + RTT);
        }
    }

    #[test]
    fn nothing_is_due_when_nothing_was_written() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        for second in 0..60 {
            let now = start + second * SECOND;
            // Acknowledgements of the datagrams that arrived.
            liveness.handle_sent(now);
            liveness.handle_received(false, false, now);
            assert!(
                !liveness.is_stalled(true, RTT, now)
                    && !liveness.is_lost(RTT)
                    && !liveness.is_dead(false, now)
            );
        }
    }

    #[test]
    fn a_lone_datagram_says_nothing_until_another_one_follows() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.handle_written(start);
        // This message shares the first one's datagram.
        liveness.handle_written(start);
        let second = start + 20 * SECOND;
        assert!(!liveness.is_stalled(false, RTT, second) && liveness.is_stalled(true, RTT, second));
        liveness.handle_written(second);
        assert!(!liveness.is_stalled(false, RTT, second + STALLED));
        assert!(liveness.is_stalled(false, RTT, second + SECOND));
        liveness.handle_written(second + SECOND);
        assert!(liveness.is_stalled(false, RTT, second + SECOND));
        liveness.handle_received(true, true, second + SECOND);
        assert!(!liveness.is_stalled(false, RTT, second + 20 * SECOND));
    }

    #[test]
    fn what_was_sent_is_lost_when_something_later_is_heard() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.handle_written(start);
        liveness.handle_sent(start);
        liveness.handle_received(false, true, start + SECOND / 2);
        assert!(!liveness.is_lost(RTT) && liveness.is_stalled(true, RTT, start + SECOND / 2));
        liveness.handle_received(false, true, start + 10 * SECOND);
        assert!(liveness.is_lost(RTT));
        liveness.handle_lost(start + 10 * SECOND);
        assert!(!liveness.is_lost(RTT));
    }
}
