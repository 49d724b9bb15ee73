//! How much may be in flight: a controller is told of what is acknowledged and lost, and answers with a window.

mod delay_gate;
mod new_reno;

use std::time::{Duration, Instant};

use delay_gate::DelayGate;
use new_reno::NewReno;

/// Which controller an association has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Algorithm {
    /// By the book (RFC 9260, section 7.2): each loss means congestion. Fair to all, and slow where the network loses
    /// packets for other reasons.
    NewReno,
    /// A loss means congestion only if packets also wait in a queue, or if many are lost. For traffic that must stay
    /// fresh on lossy links. Messages that have to arrive keep to NewReno beside it: files have time.
    #[default]
    DelayGated,
}

impl Algorithm {
    /// The controller of all that is in flight, and that of the messages that have to arrive, where it is another one.
    pub(crate) fn controllers(self, mtu: usize) -> (Box<dyn Controller>, Option<Box<dyn Controller>>) {
        match self {
            Self::NewReno => (Box::new(NewReno::new(mtu)), None),
            Self::DelayGated => (Box::new(DelayGate::new(mtu)), Some(Box::new(NewReno::new(mtu)))),
        }
    }
}

/// What an acknowledgement tells a controller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged {
    pub(crate) now: Instant,
    /// Bytes that are newly acknowledged.
    pub(crate) bytes: usize,
    /// Whether the window was what kept more from being sent. Else it says nothing about a larger window.
    pub(crate) limited: bool,
    pub(crate) path: Path,
}

/// What is known of the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    /// Of the last acknowledgement that gave one.
    pub(crate) rtt: Duration,
    /// The least one of late.
    pub(crate) least_rtt: Duration,
    /// Bytes a second that arrive at the peer, over the last round trips; `None` until something was measured.
    pub(crate) rate: Option<f64>,
}

impl Path {
    /// How long a packet waits in queues.
    pub(crate) fn queueing(&self) -> Duration {
        self.rtt.saturating_sub(self.least_rtt)
    }
}

/// Packets that count as lost, found together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost {
    pub(crate) now: Instant,
    /// When the last sent one of them was sent: losses of what was sent before the window shrank are old news.
    pub(crate) sent: Instant,
    pub(crate) bytes: usize,
    /// Whether the window was what kept more from being sent.
    pub(crate) limited: bool,
    pub(crate) path: Option<Path>,
}

/// Says how many bytes may be in flight.
pub(crate) trait Controller: Send + std::fmt::Debug {
    fn window(&self) -> usize;
    fn on_acknowledged(&mut self, acknowledged: Acknowledged);
    fn on_lost(&mut self, lost: Lost);
    /// Nothing was acknowledged for the retransmission timeout.
    fn on_timeout(&mut self, now: Instant);
}

/// The first window: ten packets (RFC 6928), where RFC 9260 has three or four.
pub(crate) fn first_window(mtu: usize) -> usize {
    10 * mtu
}

/// The least one after a loss (RFC 9260, section 7.2.3).
pub(crate) fn least_window(mtu: usize) -> usize {
    4 * mtu
}
