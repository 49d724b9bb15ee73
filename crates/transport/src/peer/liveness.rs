use std::time::{Duration, Instant};

/// How long the other side's SCTP may stay silent while its ICE is heard and an answer is due. Far above what a slow
/// path takes, and above the time in which a few retransmissions were sent.
const SILENCE: Duration = Duration::from_secs(6);

/// How often in a row something has to be lost on a path that is heard. Where one in ten datagrams is lost each way, that
/// happens to one in seven hundred.
const LOSSES: u32 = 4;

/// A pause in which nothing is heard at all: the path stalled, or the other side was stopped. ICE alone is heard every two
/// or three seconds. What was silence before such a pause says nothing of SCTP.
const PAUSE: Duration = Duration::from_secs(4);

/// How long an answer to the last datagram is waited for before it counts as lost. SCTP's own least time.
const PATIENCE: Duration = Duration::from_secs(1);

/// After this and two round trips without an answer, what is sent piles up. Above the 200 ms by which SCTP may put off
/// its answer, which a busy side does for longer.
const STALLED: Duration = Duration::from_millis(300);

/// Whether SCTP's other end still answers, seen from outside: by what kind of datagram goes and comes.
///
/// SCTP itself never gives up here (its crate leaves that to ICE), and says nothing of an association that the other side
/// has forgotten. But whatever is written has to be acknowledged, so a side whose ICE is heard and whose SCTP is not has
/// none any more.
#[derive(Debug)]
pub(super) struct Liveness {
    /// Since when an answer is due.
    unanswered: Option<Instant>,
    /// When something was written after that, so that more than one datagram is under way.
    followed: Option<Instant>,
    /// When something was heard last.
    heard: Instant,
    /// Since when it is heard without a [`PAUSE`].
    audible: Instant,
    /// How often something was lost since both of them, and when that was seen last.
    losses: u32,
    last_loss: Instant,
    /// Datagrams of SCTP that were sent, and when the last one was.
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
            sent: 0,
            last_sent: now,
        }
    }

    /// There is a path, maybe another one: what was silence before says nothing of SCTP.
    pub(super) const fn handle_connected(&mut self, now: Instant) {
        self.heard = now;
        self.audible = now;
        self.losses = 0;
    }

    /// Something was given to a channel.
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

    /// A datagram of DTLS was sent: it carries SCTP.
    pub(super) const fn handle_sent(&mut self, now: Instant) {
        self.sent += 1;
        self.last_sent = now;
    }

    /// A datagram came. `answer`: it was one of DTLS. `buffered`: something is left that wants an answer.
    pub(super) fn handle_received(&mut self, answer: bool, buffered: bool, now: Instant) {
        if now.saturating_duration_since(self.heard) > PAUSE {
            self.audible = now;
            self.losses = 0;
        }
        self.heard = now;
        if answer {
            self.unanswered = buffered.then_some(now);
            self.followed = None;
            self.losses = 0;
        }
    }

    /// Whether an answer is due.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.unanswered.is_some()
    }

    /// Datagrams of DTLS that were ever sent.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether nothing is answered for the moment. `several`: more is under way than fits into one datagram.
    ///
    /// A lone datagram says nothing. Its acknowledgement is put off in the hope for a second one, and if it was lost, only
    /// a second one makes the other side say so before SCTP's time is up: to wait for an answer would be to wait for that.
    pub(super) fn is_stalled(&self, several: bool, rtt: Duration, now: Instant) -> bool {
        let due = if several { self.unanswered } else { self.followed };
        due.is_some_and(|since| now.saturating_duration_since(since) > STALLED + 2 * rtt)
    }

    /// Whether what waits for an answer is lost: something was heard that left the other side long after the answer would
    /// have.
    /// SCTP waits twice as long after each loss in a row, so after a stall of ten seconds it would be silent for five more.
    pub(super) fn is_lost(&self, rtt: Duration) -> bool {
        self.unanswered.is_some_and(|since| {
            self.heard > since.max(self.last_sent).max(self.last_loss) + PATIENCE.max(2 * rtt)
        })
    }

    /// It is lost: it will be sent again now.
    pub(super) const fn handle_lost(&mut self, now: Instant) {
        self.losses += 1;
        self.last_loss = now;
    }

    /// Whether the other side's SCTP is gone.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
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

    /// A side that writes at the start and is heard each one and a half seconds, but in some of them. Returns when it is taken
    /// for dead.
    fn run(steps: u32, pause: std::ops::Range<u32>) -> Option<u32> {
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
            if liveness.is_dead(now) {
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
    fn a_side_that_is_not_heard_is_not_judged() {
        assert_eq!(run(60, 0..100), None);
        // The time before a long pause does not count, and what was lost in one counts once.
        assert_eq!(run(60, 2..9), Some(14));
        assert_eq!(run(60, 2..4), Some(9));
        assert_eq!(run(60, 2..3), Some(5));
    }

    #[test]
    fn whoever_answers_lives() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        for round in 0..600 {
            let now = start + round * SECOND / 10;
            liveness.handle_written(now);
            liveness.handle_sent(now);
            assert!(!liveness.is_stalled(true, RTT, now) && !liveness.is_lost(RTT) && !liveness.is_dead(now));
            liveness.handle_received(true, round % 2 == 0, now + RTT);
        }
    }

    #[test]
    fn nothing_is_due_when_nothing_was_written() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        for second in 0..60 {
            let now = start + second * SECOND;
            // Acknowledgements of what came.
            liveness.handle_sent(now);
            liveness.handle_received(false, false, now);
            assert!(!liveness.is_stalled(true, RTT, now) && !liveness.is_lost(RTT) && !liveness.is_dead(now));
        }
    }

    #[test]
    fn a_lone_datagram_says_nothing_until_another_one_follows() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.handle_written(start);
        // What shares its datagram.
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
