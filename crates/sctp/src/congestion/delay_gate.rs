//! NewReno with a gate: a loss halves the window only where packets also wait in a queue, or where many are lost.
//!
//! A router that drops because its queue is full has made packets wait first, so the round trip has grown. A radio
//! link that loses packets has not. Without the gate 1 % of such losses leaves 12 % of a line with a round trip of 40
//! ms.
//!
//! There are two manners:
//!
//! - *Fair* is NewReno that grows half as fast. It begins with a loss where packets waited: the queue is shared, or it is
//!   ours and full. Another flow in it may take long to recover from a loss.
//! - *Fresh* begins with a loss where none waited. The window holds what the path carries with an empty queue: the
//!   measured rate × the least round trip. Now and then it is larger for one round trip. If more arrives then, the next
//!   step follows at once.
//!
//! Packets also wait where there is no queue: for an end that is busy, or for a radio that sends in turns. The window
//! must be able to grow there, too. So a wait stops the steps only if there were losses of late. A queue that others
//! fill until they lose packets loses some of ours, too.
//!
//! On a short path, the round trip says how busy the two ends are, and nothing about queues. An end that gets the CPU
//! once in some milliseconds needs a window for that time, and the least round trip is that of an idle moment. So there
//! the window grows as NewReno's does. A loss halves it, but not below rate × least round trip.

use std::time::{Duration, Instant};

use super::{Acknowledged, Controller, Lost, Path, new_reno::NewReno};

/// A queue that is shorter than this says nothing: timers and threads of the peer cost as much.
const LEAST_QUEUE: Duration = Duration::from_millis(5);
/// The same as a share of the least round trip. A step must not look like a queue of others.
const QUEUE_SHARE: u32 = 8;
/// More lost bytes than one in so many is congestion, whatever the delay.
const TOLERATED: usize = 10;
/// Over how many round trips the share of losses is taken.
const SHARE_ROUNDS: u32 = 8;
/// By which share the window is larger in a step. It was worth it if half of that arrives. Then the next step is twice
/// as large.
const LEAST_STEP: f64 = 0.1;
const LARGEST_STEP: f64 = 0.4;
/// Round trips until the next step, after one that was not worth it: twice as many each time.
const LEAST_HOLD: u32 = 2;
const LONGEST_HOLD: u32 = 64;
/// In the manner *fair*, one byte in so many of those that are acknowledged lets the window grow.
const FAIR_GROWTH: usize = 2;
/// How long a loss tells that others may fill a queue.
const LOSS_MEMORY: Duration = Duration::from_secs(30);
/// Packets beyond rate × round trip: acknowledgements stand for two of them.
const SLACK: usize = 3;

#[derive(Debug)]
pub(crate) struct DelayGate {
    reno: NewReno,
    manner: Manner,
    losses: Losses,
    waiting: Waiting,
    /// The last loss.
    lost: Option<Instant>,
    /// Round trips.
    hold: u32,
}

#[derive(Debug, Clone, Copy)]
enum Manner {
    Fair,
    /// The next step is due then.
    Hold(Option<Instant>),
    Step(Step),
}

/// A window that is larger for a round trip, and a second one until it is known what that did.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// The window that it aims at: no faster than what is acknowledged, since a burst would make a queue.
    goal: usize,
    /// When the window was there.
    reached: Option<Instant>,
    rtt: Duration,
    rate: f64,
    share: f64,
}

/// How long packets wait in queues, over the last round trip. A queue for a part of it is the work of our own packets,
/// which leave in groups.
#[derive(Debug, Default)]
struct Waiting(Duration);

impl Waiting {
    fn add(&mut self, queueing: Duration, bytes: usize, window: usize) {
        let share = bytes.min(window) as f64 / window.max(1) as f64;
        self.0 = self.0.mul_f64(1.0 - share) + queueing.mul_f64(share);
    }
}

/// Which share of the bytes was lost of late.
#[derive(Debug, Default)]
struct Losses {
    acknowledged: usize,
    lost: usize,
    since: Option<Instant>,
}

impl Losses {
    fn acknowledge(&mut self, now: Instant, bytes: usize, rtt: Duration) {
        self.acknowledged += bytes;
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) > rtt * SHARE_ROUNDS {
            self.acknowledged /= 2;
            self.lost /= 2;
            self.since = Some(now);
        }
    }

    /// A few packets are no share.
    fn are_many(&self, mtu: usize) -> bool {
        let total = self.acknowledged + self.lost;
        total > 64 * mtu && self.lost * TOLERATED > total
    }
}

/// A longer wait in queues is congestion.
fn gate(path: &Path) -> Duration {
    LEAST_QUEUE.max(path.least_rtt / QUEUE_SHARE)
}

/// Whether a busy end takes longer to answer than the path does.
fn is_short(path: &Path) -> bool {
    path.least_rtt < LEAST_QUEUE
}

impl DelayGate {
    pub(crate) fn new(mtu: usize) -> Self {
        Self {
            reno: NewReno::new(mtu),
            manner: Manner::Hold(None),
            losses: Losses::default(),
            waiting: Waiting::default(),
            lost: None,
            hold: LEAST_HOLD,
        }
    }

    /// What the path carries with an empty queue, in bytes.
    fn carried(&self, path: &Path) -> Option<usize> {
        Some((path.rate? * path.least_rtt.as_secs_f64()) as usize + SLACK * self.reno.mtu())
    }

    /// What a step makes wait by itself.
    fn own_queue(&self, path: &Path) -> Duration {
        match self.manner {
            Manner::Step(step) => path.least_rtt.mul_f64(step.share),
            _ => Duration::ZERO,
        }
    }

    /// Whether packets wait in a queue that others may fill.
    fn waits(&self, now: Instant, path: &Path) -> bool {
        let loses = self.lost.is_some_and(|lost| now.saturating_duration_since(lost) < LOSS_MEMORY);
        loses && self.waiting.0 > gate(path) / 2
    }

    /// `known`: a window that the path carries. The rate is that of a round trip ago.
    fn begin_step(&mut self, path: &Path, known: usize, share: f64) {
        let (Some(rate), Some(carried)) = (path.rate, self.carried(path)) else { return };
        let carried = carried.max(known);
        let goal = carried + (carried as f64 * share) as usize;
        self.manner = Manner::Step(Step { goal, reached: None, rtt: path.rtt, rate, share });
    }

    fn end_step(&mut self, now: Instant, path: &Path, step: Step) {
        let better = path.rate.is_some_and(|rate| rate > step.rate * (1.0 + step.share / 2.0));
        if better && !self.waits(now, path) {
            self.hold = LEAST_HOLD;
            self.begin_step(path, step.goal, (step.share * 2.0).min(LARGEST_STEP));
        } else {
            self.manner = Manner::Hold(Some(now + path.rtt * self.hold));
            self.hold = (self.hold * 2).min(LONGEST_HOLD);
        }
    }

    /// The window is full, in the manner *fresh*.
    fn go_on(&mut self, now: Instant, bytes: usize, path: &Path) {
        let Some(carried) = self.carried(path) else { return };
        let window = self.reno.window();
        let waits = self.waits(now, path);
        match self.manner {
            Manner::Step(step) => {
                let Some(reached) = step.reached else {
                    self.reno.set_window(step.goal.min(window + bytes));
                    if window + bytes >= step.goal {
                        self.manner = Manner::Step(Step { reached: Some(now), ..step });
                    }
                    return;
                };
                let time = now.saturating_duration_since(reached);
                if time >= step.rtt {
                    self.reno.set_window(carried.min(window));
                }
                if time >= 2 * step.rtt {
                    self.end_step(now, path, step);
                }
            }
            Manner::Hold(due) if due.is_none_or(|due| due <= now) && !waits => {
                self.begin_step(path, window, LEAST_STEP);
            }
            _ if window < carried && !waits => self.reno.set_window(carried.min(window + bytes)),
            _ => {}
        }
    }
}

impl Controller for DelayGate {
    fn window(&self) -> usize {
        self.reno.window()
    }

    fn on_acknowledged(&mut self, acknowledged: Acknowledged) {
        let Acknowledged { now, bytes, limited, path } = acknowledged;
        self.losses.acknowledge(now, bytes, path.rtt);
        self.waiting.add(path.queueing(), bytes, self.reno.window());
        if is_short(&path) {
            self.reno.on_acknowledged(acknowledged);
        } else if self.reno.in_slow_start() {
            if self.waiting.0 > gate(&path) {
                self.reno.set_window(self.reno.window());
                self.reno.end_slow_start();
            }
            self.reno.on_acknowledged(acknowledged);
        } else if matches!(self.manner, Manner::Fair) {
            self.reno.on_acknowledged(Acknowledged { bytes: bytes / FAIR_GROWTH, ..acknowledged });
        } else if limited {
            self.go_on(now, bytes, &path);
        }
    }

    fn on_lost(&mut self, lost: Lost) {
        self.losses.lost += lost.bytes;
        self.lost = Some(lost.now);
        if !self.reno.is_news(lost.sent) {
            return;
        }
        let Some(path) = lost.path.filter(|path| {
            self.waiting.0 <= gate(path) + self.own_queue(path) && !self.losses.are_many(self.reno.mtu())
        }) else {
            self.manner = Manner::Fair;
            return self.reno.on_lost(lost);
        };
        if matches!(self.manner, Manner::Fair) {
            self.manner = Manner::Hold(None);
            self.hold = LEAST_HOLD;
        }
        let Some(carried) = self.carried(&path) else { return };
        let window = self.reno.window();
        if is_short(&path) {
            self.reno.shrink_to(carried.min(window).max(window / 2), lost.now);
        } else if self.reno.in_slow_start() {
            // The rate is that of a round trip ago, when the window was half as large. What is sent below the window says
            // nothing about it.
            if lost.limited && carried < window / 3 {
                self.reno.shrink_to(carried, lost.now);
            }
        } else if lost.limited && matches!(self.manner, Manner::Hold(_)) {
            self.reno.shrink_to(carried.min(window), lost.now);
        }
    }

    fn on_timeout(&mut self, now: Instant) {
        self.manner = Manner::Hold(None);
        self.reno.on_timeout(now);
    }
}
