use std::time::{Duration, Instant};

/// How often ICE checks a path. The less often it does, the later a dead path is noticed.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(400);

/// Unanswered checks in a row after which ICE itself gives a path up: those of 16 s. To make SCTP retransmit, the
/// engine's clock may be set ahead by 12 s (`MOST_HASTE`). The checks of that time leave at once, and their answers
/// come later.
pub(super) const MAX_CHECKS: usize = 40;

/// The path is suspected after this time and so many checks without an answer.
const SUSPECTED: (Duration, u32) = (Duration::from_millis(1_500), 3);

/// The path is dead after this time and so many checks without an answer.
///
/// If each direction loses one datagram in twenty, one check in ten is not answered. Six of them in a row are then not
/// answered once in a hundred hours.
const DEAD: (Duration, u32) = (Duration::from_millis(2_500), 6);

/// A stream (TCP) is given this many times as long. It sends again what was lost, and waits longer each time.
const STREAM_PATIENCE: u32 = 2;

/// A longer time without a turn of the owner means that this process was stopped, the machine slept, or the clock
/// stepped. What the other side has sent meanwhile may be lost, so the silence before it does not count. An owner with
/// nothing to do has a turn each half second.
const PAUSE: Duration = Duration::from_millis(1_200);

/// Checks that leave within less than this time count as one. The engine's clock was set ahead, and they left at once.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// Whether the path still carries something in both directions, judged by the answers that the other side owes.
///
/// ICE itself gives a path up only after some 16 s. A request of the other side does not count as an answer: it shows
/// one direction only.
#[derive(Debug)]
pub(super) struct PathWatch {
    /// When the last answer came.
    answered: Instant,
    /// The checks without an answer since then, and when the last one was sent.
    owed: u32,
    checked: Instant,
    /// The last turn of the owner.
    turn: Instant,
    state: PathState,
}

/// What is known of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathState {
    Alive,
    /// Answers are missing. It is time to prepare another path.
    Suspected,
    /// It counts as lost.
    Dead,
}

impl PathWatch {
    pub(super) const fn new(now: Instant) -> Self {
        Self { answered: now, owed: 0, checked: now, turn: now, state: PathState::Alive }
    }

    /// An ICE check left on the path.
    pub(super) fn handle_check(&mut self, now: Instant) {
        if self.owed == 0 || now.saturating_duration_since(self.checked) >= LEAST_INTERVAL {
            self.owed = self.owed.saturating_add(1);
            self.checked = now;
        }
    }

    /// The other side answered on the path. Returns whether the path counted as suspected or dead.
    pub(super) fn handle_answer(&mut self, now: Instant) -> bool {
        self.answered = now;
        self.owed = 0;
        std::mem::replace(&mut self.state, PathState::Alive) != PathState::Alive
    }

    /// Judges the path. Called in each turn of the owner, after the datagrams that have arrived were taken. Returns the
    /// state if it is another one. `stream`: the path is a TCP connection.
    pub(super) fn judge(&mut self, stream: bool, now: Instant) -> Option<PathState> {
        if now.saturating_duration_since(self.turn) > PAUSE {
            self.answered = now;
            self.owed = 0;
        }
        self.turn = self.turn.max(now);
        let state = match self.state {
            PathState::Dead => return None,
            _ if self.exceeds(DEAD, stream, now) => PathState::Dead,
            PathState::Alive if self.exceeds(SUSPECTED, stream, now) => PathState::Suspected,
            _ => return None,
        };
        self.state = state;
        Some(state)
    }

    fn exceeds(&self, limit: (Duration, u32), stream: bool, now: Instant) -> bool {
        let (length, checks) = scaled(limit, stream);
        self.owed >= checks && now.saturating_duration_since(self.answered) >= length
    }

    /// When [`judge`](Self::judge) may have another result, if no check leaves and no answer comes until then.
    pub(super) fn due(&self, stream: bool) -> Option<Instant> {
        let limit = match self.state {
            PathState::Alive => SUSPECTED,
            PathState::Suspected => DEAD,
            PathState::Dead => return None,
        };
        let (length, checks) = scaled(limit, stream);
        let due = self.answered + length;
        (self.owed >= checks && due > self.turn).then_some(due)
    }
}

fn scaled((length, checks): (Duration, u32), stream: bool) -> (Duration, u32) {
    let patience = if stream { STREAM_PATIENCE } else { 1 };
    (length * patience, checks * patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An owner that has a turn each 100 ms, with a check each 400 ms.
    struct Owner {
        watch: PathWatch,
        start: Instant,
        now: Instant,
        turns: u32,
        seen: Vec<(PathState, Duration)>,
    }

    impl Owner {
        fn new() -> Self {
            let now = Instant::now();
            Self { watch: PathWatch::new(now), start: now, now, turns: 0, seen: Vec::new() }
        }

        /// `answers`: whether the check of that turn is answered at once.
        fn turns(&mut self, count: u32, stream: bool, mut answers: impl FnMut() -> bool) {
            for _ in 0..count {
                self.now += Duration::from_millis(100);
                self.turns += 1;
                if self.turns.is_multiple_of(4) {
                    self.watch.handle_check(self.now);
                    if answers() && self.watch.handle_answer(self.now) {
                        self.seen.push((PathState::Alive, self.now - self.start));
                    }
                }
                if let Some(state) = self.watch.judge(stream, self.now) {
                    self.seen.push((state, self.now - self.start));
                }
            }
        }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn silence_is_suspected_after_a_second_and_a_half_and_death_after_two_and_a_half() {
        let mut owner = Owner::new();
        owner.turns(100, false, || true);
        owner.turns(100, false, || false);
        let at = |after: u64| ms(10_000 + after);
        assert_eq!(owner.seen, [(PathState::Suspected, at(1_500)), (PathState::Dead, at(2_500))]);
        // It may come back by itself, and die again.
        owner.turns(4, false, || true);
        owner.turns(40, false, || false);
        let states: Vec<_> = owner.seen.iter().map(|&(state, _)| state).collect();
        assert_eq!(states[2..], [PathState::Alive, PathState::Suspected, PathState::Dead]);
    }

    #[test]
    fn a_stream_has_twice_as_long() {
        let mut owner = Owner::new();
        owner.turns(100, true, || false);
        assert_eq!(owner.seen, [(PathState::Suspected, ms(3_000)), (PathState::Dead, ms(5_000))]);
    }

    #[test]
    fn an_hour_of_silence_in_which_nothing_was_asked_proves_nothing() {
        let mut owner = Owner::new();
        for _ in 0..36_000 {
            owner.now += ms(100);
            assert_eq!(owner.watch.judge(false, owner.now), None);
        }
    }

    /// An owner that has no turn for a while has read nothing meanwhile, whatever the reason is: it was stopped, the
    /// machine slept, or the clock stepped.
    #[test]
    fn time_in_which_the_owner_has_no_turn_does_not_count() {
        for pause in [ms(1_300), ms(5_000), Duration::from_secs(86_400)] {
            for turns in 0..12 {
                let mut owner = Owner::new();
                owner.turns(40, false, || true);
                // Some checks are not answered any more, because the pause begins.
                owner.turns(turns, false, || false);
                owner.now += pause;
                owner.turns(turns, false, || false);
                owner.turns(40, false, || true);
                assert_eq!(owner.seen, [], "{pause:?} after {turns} turns");
            }
        }
        // Again and again, with one check before each pause.
        let mut owner = Owner::new();
        for _ in 0..100 {
            owner.now += ms(3_000);
            owner.turns(4, false, || false);
        }
        assert_eq!(owner.seen, []);
    }

    #[test]
    fn a_clock_that_goes_back_proves_nothing() {
        let mut owner = Owner::new();
        owner.turns(100, false, || true);
        owner.now -= ms(5_000);
        owner.turns(100, false, || true);
        assert_eq!(owner.seen, []);
    }

    #[test]
    fn checks_that_leave_at_once_count_as_one() {
        let mut owner = Owner::new();
        for _ in 0..30 {
            owner.watch.handle_check(owner.now);
        }
        for _ in 0..50 {
            owner.now += ms(100);
            assert_eq!(owner.watch.judge(false, owner.now), None);
        }
    }

    #[test]
    fn the_owner_is_told_when_to_judge() {
        let mut owner = Owner::new();
        owner.turns(14, false, || false);
        assert_eq!(owner.watch.due(false), Some(owner.start + ms(1_500)));
        owner.turns(4, false, || false);
        // Two more checks have to leave before it can be dead.
        assert_eq!((owner.seen.len(), owner.watch.due(false)), (1, None));
        owner.turns(6, false, || false);
        assert_eq!(owner.watch.due(false), Some(owner.start + ms(2_500)));
        owner.turns(1, false, || false);
        assert_eq!((owner.seen.len(), owner.watch.due(false)), (2, None));
    }
}
