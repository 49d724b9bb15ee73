//! From the first packet to an established association (RFC 9260, section 5), and how its control chunks are repeated.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::cookie::Cookie;
use super::{Association, AssociationError, Control, Entropy, Event, State};
use crate::config::{ClientConfig, TransportConfig};
use crate::receive::{Arrivals, Reassembly};
use crate::send::Sender;
use crate::wire::{Init, padded};

use super::reset::Resets;

/// Header of a packet, of a DATA chunk, and room for what goes with it.
pub(super) const PACKET_OVERHEAD: usize = 40;

impl Association {
    /// This side begins.
    pub(crate) fn connect(config: &ClientConfig, max_payload: u32, entropy: Entropy) -> Option<Self> {
        let Some((local, remote)) = &config.snap else {
            let mut association =
                Self::new(Arc::clone(&config.transport), max_payload, State::CookieWait, entropy);
            association.control.push_back(Control::Init);
            return Some(association);
        };
        // Both sides have said by signalling what INIT says.
        let (ours, theirs) = (Init::from_chunk(local)?, Init::from_chunk(remote)?);
        let entropy = Entropy { tag: ours.tag, first_tsn: ours.first_tsn, ..entropy };
        let mut association =
            Self::new(Arc::clone(&config.transport), max_payload, State::Established, entropy);
        association.take_peer(theirs);
        association.events.push_back(Event::Connected);
        Some(association)
    }

    /// The peer begins: its first packet is handled by the caller afterwards.
    pub(crate) fn listen(config: Arc<TransportConfig>, max_payload: u32, entropy: Entropy) -> Self {
        Self::new(config, max_payload, State::Listening, entropy)
    }

    fn our_init(&self, tag: u32) -> Init {
        Init::ours(tag, self.our_first_tsn, self.config.receive_buffer)
    }

    /// What INIT or INIT ACK carries, with a cookie where it answers.
    pub(super) fn init_to_send(&self, answer: Option<(&Init, u32)>) -> Init {
        let Some((peer, our_tag)) = answer else { return self.our_init(self.our_tag) };
        let cookie = Cookie { our_tag, peer: peer.clone() }.seal(&self.secret);
        Init { cookie: Some(cookie), ..self.our_init(our_tag) }
    }

    /// The association begins with what the peer said.
    fn take_peer(&mut self, peer: Init) {
        let mtu = self.max_payload + PACKET_OVERHEAD;
        let controllers = self.config.congestion.controllers(padded(mtu));
        self.sender = Some(Sender::new(self.our_first_tsn, self.max_payload, peer.window, controllers));
        self.arrivals = Some(Arrivals::new(peer.first_tsn));
        self.reassembly = Some(Reassembly::new(peer.first_tsn, self.config.max_receive_message as usize));
        self.resets = Some(Resets::new(self.our_first_tsn, peer.first_tsn));
        self.peer = Some(peer);
    }

    /// INIT: the peer begins. The answer keeps nothing; what matters is in its cookie.
    pub(super) fn handle_init(&mut self, peer: Init) {
        // While established, the peer has lost its state: a tag of its own keeps the two apart (RFC 9260, section
        // 5.2.2).
        let our_tag = match self.state {
            State::Listening | State::CookieWait | State::CookieEchoed => self.our_tag,
            State::ShutdownAckSent => {
                self.control.push_back(Control::ShutdownAck);
                return;
            }
            State::Closed => return,
            _ => self.spare_tag,
        };
        // One answer is enough, however many came.
        self.control.retain(|control| !matches!(control, Control::InitAck { .. }));
        self.control.push_back(Control::InitAck { peer, our_tag });
    }

    pub(super) fn handle_init_ack(&mut self, mut peer: Init) {
        if self.state != State::CookieWait {
            return;
        }
        let Some(cookie) = peer.cookie.take() else {
            self.lose(AssociationError::Protocol("INIT ACK without a cookie"));
            return;
        };
        if cookie.len() > self.max_payload {
            self.abort(crate::wire_cause::PROTOCOL, "the cookie does not fit a packet");
            self.lose(AssociationError::Protocol("the cookie does not fit a packet"));
            return;
        }
        self.take_peer(peer);
        self.peer_cookie = cookie;
        self.state = State::CookieEchoed;
        self.repeat.stop();
        self.control.push_back(Control::CookieEcho);
    }

    /// Returns whether the packet's tag was that of the cookie.
    pub(super) fn handle_cookie_echo(&mut self, tag: u32, value: &Bytes) {
        let Some(cookie) = Cookie::open(value, &self.secret) else { return };
        if cookie.our_tag != tag {
            return;
        }
        match self.state {
            State::Listening | State::CookieWait | State::CookieEchoed => {
                let known = self.peer.as_ref().is_some_and(|peer| peer.tag == cookie.peer.tag);
                if !known {
                    self.take_peer(cookie.peer);
                }
                self.control.retain(|control| {
                    !matches!(control, Control::Init | Control::CookieEcho | Control::InitAck { .. })
                });
                self.control.push_back(Control::CookieAck);
                self.establish();
            }
            State::Closed => {}
            _ if cookie.our_tag == self.our_tag => self.control.push_back(Control::CookieAck),
            // What was in flight is lost, and so are the streams: the owner must begin anew, too.
            _ => {
                self.abort(crate::wire_cause::RESTART, "restarted");
                self.lose(AssociationError::Restarted);
            }
        }
    }

    pub(super) fn handle_cookie_ack(&mut self) {
        if self.state == State::CookieEchoed {
            self.establish();
        }
    }

    fn establish(&mut self) {
        self.state = State::Established;
        self.repeat.stop();
        self.events.push_back(Event::Connected);
    }

    /// The time for an answer is over: the chunk goes out again.
    pub(super) fn repeat_control(&mut self, now: Instant) {
        let control = match self.state {
            State::CookieWait => Control::Init,
            State::CookieEchoed => Control::CookieEcho,
            State::ShutdownSent => Control::Shutdown,
            State::ShutdownAckSent => Control::ShutdownAck,
            _ => {
                self.repeat.stop();
                return;
            }
        };
        if self.config.max_init_retransmits.is_some_and(|limit| self.repeat.times >= limit) {
            self.lose(AssociationError::TimedOut);
            return;
        }
        self.control.push_back(control);
        self.repeat.again(now);
    }
}
