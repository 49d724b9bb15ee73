//! NewReno as RFC 9260 has it (section 7.2).

use std::time::Instant;

use super::{Acknowledged, Controller, Lost, first_window, least_window};

#[derive(Debug)]
pub(crate) struct NewReno {
    mtu: usize,
    window: usize,
    threshold: usize,
    /// Bytes acknowledged since the window grew last, in congestion avoidance.
    partial: usize,
    /// When the window shrank last.
    shrunk: Option<Instant>,
}

impl NewReno {
    pub(crate) fn new(mtu: usize) -> Self {
        Self { mtu, window: first_window(mtu), threshold: usize::MAX, partial: 0, shrunk: None }
    }

    pub(crate) fn mtu(&self) -> usize {
        self.mtu
    }

    pub(crate) fn in_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    /// Whether a loss of what was sent then is news.
    pub(crate) fn is_news(&self, sent: Instant) -> bool {
        self.shrunk.is_none_or(|shrunk| sent > shrunk)
    }

    /// Sets the window after a loss: what was sent before is old news.
    pub(crate) fn shrink_to(&mut self, window: usize, now: Instant) {
        self.window = window.max(least_window(self.mtu));
        self.threshold = self.window;
        self.partial = 0;
        self.shrunk = Some(now);
    }

    /// Goes on as after the first loss.
    pub(crate) fn end_slow_start(&mut self) {
        self.threshold = self.window;
    }

    /// Sets the window outside of the book's rules.
    pub(crate) fn set_window(&mut self, window: usize) {
        self.window = window.max(least_window(self.mtu));
        self.threshold = self.threshold.min(self.window);
    }
}

impl Controller for NewReno {
    fn window(&self) -> usize {
        self.window
    }

    fn on_acknowledged(&mut self, Acknowledged { bytes, limited, .. }: Acknowledged) {
        if !limited {
            return;
        }
        if self.in_slow_start() {
            // By all that is acknowledged, as QUIC does (RFC 9002, section 7.3.1). An acknowledgement may stand for many
            // packets, because a receiver takes several at once.
            self.window += bytes;
            return;
        }
        self.partial += bytes;
        while self.partial >= self.window {
            self.partial -= self.window;
            self.window += self.mtu;
        }
    }

    fn on_lost(&mut self, Lost { now, sent, .. }: Lost) {
        if self.is_news(sent) {
            self.shrink_to(self.window / 2, now);
        }
    }

    fn on_timeout(&mut self, now: Instant) {
        self.threshold = (self.window / 2).max(least_window(self.mtu));
        self.window = self.mtu;
        self.partial = 0;
        self.shrunk = Some(now);
    }
}
