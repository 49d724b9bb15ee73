//! The connection: lost, resumed, rebuilt and closed.

use super::track::TrackState;
use super::{Connection, PublishError, Publisher, PublisherEvent, Slot, UnpublishedBy};
use crate::stats::SendDrop;
use crate::time::Instant;

impl Publisher {
    /// The connection is lost. Pushes are refused with
    /// [`PushFrameError::Reconnecting`](super::PushFrameError::Reconnecting). Queued frames stay, within their bounds.
    pub fn handle_connection_lost(&mut self) {
        if self.connection == Connection::Up {
            self.connection = Connection::Lost;
        }
    }

    /// The connection is resumed. Unanswered requests are sent again, and the SFU has the whole time for its answer.
    pub fn handle_resumed(&mut self, now: Instant) {
        if self.connection != Connection::Lost {
            return;
        }
        self.connection = Connection::Up;
        self.events.extend(self.unsettled.iter().map(|&handle| PublisherEvent::UnpublishRequest { handle }));
        let renewed = now + self.config.publish_timeout;
        for slot in &mut self.slots {
            if let Slot::Active(track) = slot
                && let TrackState::Pending { deadline, .. } | TrackState::Republishing { deadline, .. } =
                    &mut track.state
            {
                *deadline = renewed;
            }
        }
        self.expect_by(renewed);
        self.repeat_requests();
    }

    /// The connection is rebuilt: each publication is requested again, under its handle. A partly sent frame starts
    /// over.
    pub fn handle_rebuilt(&mut self, now: Instant) {
        if self.connection == Connection::Closed {
            return;
        }
        self.connection = Connection::Up;
        // The new server session knows nothing of the tracks that the old one may have kept.
        self.unsettled.clear();
        let deadline = now + self.config.publish_timeout;
        self.expect_by(deadline);
        for slot in &mut self.slots {
            let Slot::Active(track) = slot else { continue };
            track.queue.rewind();
            track.renew_iv();
            match &mut track.state {
                TrackState::Published(_) => {
                    track.state = TrackState::Republishing { deadline, handle_retried: false };
                }
                TrackState::Republishing { deadline: limit, handle_retried }
                | TrackState::Pending { deadline: limit, handle_retried } => {
                    *limit = deadline;
                    *handle_retried = false;
                }
            }
        }
        self.repeat_requests();
    }

    /// Stops accepting frames ([`PushFrameError::Disconnected`](super::PushFrameError::Disconnected)) and publications.
    /// Frames that were accepted before are still sent, until [`close`](Self::close).
    pub const fn finish(&mut self) {
        self.finishing = true;
    }

    /// Whether the packets of all accepted frames have been sent.
    pub fn is_drained(&self) -> bool {
        self.active().all(|track| track.buffered() == 0 && track.queue.is_empty())
    }

    /// Ends every publication. Idempotent. Nothing can be published afterwards.
    pub fn close(&mut self) {
        if self.connection == Connection::Closed {
            return;
        }
        self.connection = Connection::Closed;
        for handle in self.active().map(|track| track.handle).collect::<Vec<_>>() {
            let pending =
                self.track(handle).is_some_and(|track| matches!(track.state, TrackState::Pending { .. }));
            self.end(handle, SendDrop::ConnectionLost);
            self.events.push_back(if pending {
                PublisherEvent::PublishFailed { handle, error: PublishError::Disconnected }
            } else {
                PublisherEvent::Unpublished { handle, by: UnpublishedBy::Disconnected }
            });
        }
        self.turns.clear();
        self.unsettled.clear();
    }

    fn repeat_requests(&mut self) {
        let requests = self
            .slots
            .iter_mut()
            .filter_map(|slot| match slot {
                Slot::Active(track) if track.deadline().is_some() => {
                    track.requested = true;
                    Some(PublisherEvent::PublishRequest(track.request()))
                }
                _ => None,
            })
            .collect::<Vec<_>>();
        self.events.extend(requests);
    }
}
