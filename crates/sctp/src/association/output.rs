//! What is sent, packet by packet.

use std::time::Instant;

use bytes::Bytes;

use super::handshake::PACKET_OVERHEAD;
use super::{Association, Control, State};
use crate::endpoint::{Payload, Transmit};
use crate::wire::{HEADER, Init, Writer, kind, padded};

/// Packets that one call of `poll_transmit` gives, at most: then the owner sends them, and reads what has come
/// meanwhile.
const BATCH: usize = 8;

/// Bytes of a SACK without blocks, and with the duplicates that it may name.
const LEAST_SACK: usize = 16 + 4 * 16;

impl Association {
    /// Packets to be sent now; `None`: nothing more.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let mut packets = Vec::new();
        while packets.len() < BATCH
            && let Some(packet) = self.poll_packet(now)
        {
            packets.push(packet);
        }
        crate::scope::tell(|| self.stats());
        (!packets.is_empty()).then_some(Transmit { payload: Payload::RawEncode(packets) })
    }

    fn poll_packet(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(packet) = self.poll_lone(now) {
            return Some(packet);
        }
        if self.state == State::Closed || self.sender.is_none() {
            self.control.clear();
            return None;
        }
        self.advance_resets(now);
        self.advance_shutdown(now);
        let limit = HEADER + padded(self.max_payload) + PACKET_OVERHEAD - HEADER;
        let peer = self.peer.as_ref()?;
        let (tag, unchecked) = (peer.tag, peer.zero_checksum);
        let mut packet = Writer::new(self.our_port, self.peer_port, tag, limit);
        let mut checked = !unchecked;
        while let Some(size) = self.control.front().map(|control| self.control_size(control))
            && (packet.is_empty() || packet.len() + size <= limit)
            && let Some(control) = self.control.pop_front()
        {
            if matches!(control, Control::CookieEcho) {
                checked = true;
                if self.repeat.at.is_none() {
                    self.repeat.start(now);
                }
            }
            self.write_control(&mut packet, control);
        }
        let window = self.receive_window();
        if let Some(arrivals) = self
            .arrivals
            .as_mut()
            .filter(|arrivals| arrivals.must_acknowledge() && packet.len() + LEAST_SACK <= limit)
        {
            arrivals.write(now, &mut packet, window, limit);
            self.told_window = window;
        }
        self.write_forward(now, &mut packet, limit);
        if let Some(resets) =
            self.resets.as_mut().filter(|resets| resets.is_due() && packet.len() + 300 < limit)
        {
            resets.write(now, &mut packet);
        }
        let sending =
            matches!(self.state, State::Established | State::ShutdownPending | State::ShutdownReceived);
        if sending {
            // Room for an acknowledgement that may go along.
            let acknowledges = self.arrivals.as_ref().is_some_and(|arrivals| arrivals.may_acknowledge(now));
            let reserve =
                if acknowledges { self.arrivals.as_ref().map_or(0, |arrivals| arrivals.size()) } else { 0 };
            let before = packet.len();
            let room = if reserve * 4 < limit { limit - reserve } else { limit };
            let wrote =
                self.with_sender(|sender, freed| sender.fill(now, &mut packet, room, freed)) == Some(true);
            // A chunk of full size leaves no room beside it; then the acknowledgement goes when it is due.
            if !wrote && packet.len() == before && packet.is_empty() {
                self.with_sender(|sender, freed| sender.fill(now, &mut packet, limit, freed));
            }
            if packet.len() > before {
                self.stats.packets_sent += 1;
                if acknowledges
                    && let Some(arrivals) = &mut self.arrivals
                    && packet.len() + arrivals.size() <= limit
                {
                    arrivals.write(now, &mut packet, window, limit);
                    self.told_window = window;
                }
            }
        }
        if packet.is_empty() {
            // What may not be sent again was given up just now.
            self.write_forward(now, &mut packet, limit);
        }
        (!packet.is_empty()).then(|| packet.finish(checked))
    }

    fn write_forward(&mut self, now: Instant, packet: &mut Writer, limit: usize) {
        let supported = self.peer.as_ref().is_some_and(|peer| peer.forward_tsn);
        if packet.len() + 256 > limit || !supported {
            return;
        }
        let streams = (limit - packet.len() - 8) / 4;
        let Some((tsn, skipped)) = self.sender.as_mut().and_then(|sender| sender.poll_forward(now, streams))
        else {
            return;
        };
        packet.chunk(kind::FORWARD_TSN, 0, |out| {
            out.extend_from_slice(&tsn.to_be_bytes());
            for (stream, ssn) in skipped {
                out.extend_from_slice(&stream.to_be_bytes());
                out.extend_from_slice(&ssn.to_be_bytes());
            }
        });
    }

    /// A chunk that needs a packet to itself, or a tag of its own.
    fn poll_lone(&mut self, now: Instant) -> Option<Bytes> {
        let at = self.control.iter().position(|control| {
            matches!(
                control,
                Control::Init
                    | Control::InitAck { .. }
                    | Control::ShutdownComplete { .. }
                    | Control::Abort { .. }
            )
        })?;
        let control = self.control.remove(at)?;
        let tag = match &control {
            Control::Init => 0,
            Control::InitAck { peer, .. } => peer.tag,
            Control::ShutdownComplete { tag, .. } | Control::Abort { tag, .. } => *tag,
            _ => return None,
        };
        if matches!(control, Control::Init) && self.repeat.at.is_none() {
            self.repeat.start(now);
        }
        let mut packet = Writer::new(self.our_port, self.peer_port, tag, 256);
        self.write_control(&mut packet, control);
        Some(packet.finish(true))
    }

    /// Bytes of the chunk, at most.
    fn control_size(&self, control: &Control) -> usize {
        match control {
            Control::CookieEcho => 4 + padded(self.peer_cookie.len()),
            Control::HeartbeatAck(value) => 4 + padded(value.len()),
            _ => 64,
        }
    }

    fn write_control(&mut self, packet: &mut Writer, control: Control) {
        match control {
            Control::Init => {
                let init = self.init_to_send(None);
                packet.chunk(kind::INIT, 0, |out| init.write(out));
            }
            Control::InitAck { peer, our_tag } => {
                let init: Init = self.init_to_send(Some((&peer, our_tag)));
                packet.chunk(kind::INIT_ACK, 0, |out| init.write(out));
            }
            Control::CookieEcho => {
                packet.chunk(kind::COOKIE_ECHO, 0, |out| out.extend_from_slice(&self.peer_cookie));
            }
            Control::CookieAck => packet.chunk(kind::COOKIE_ACK, 0, |_| {}),
            Control::Shutdown => {
                let cumulative = self.arrivals.as_ref().map_or(0, super::Arrivals::cumulative);
                packet.chunk(kind::SHUTDOWN, 0, |out| out.extend_from_slice(&cumulative.to_be_bytes()));
            }
            Control::ShutdownAck => packet.chunk(kind::SHUTDOWN_ACK, 0, |_| {}),
            Control::ShutdownComplete { reflected, .. } => {
                packet.chunk(kind::SHUTDOWN_COMPLETE, u8::from(reflected), |_| {});
            }
            Control::HeartbeatAck(value) => {
                packet.chunk(kind::HEARTBEAT_ACK, 0, |out| out.extend_from_slice(&value));
            }
            Control::Abort { cause, reason, .. } => {
                packet.chunk(kind::ABORT, 0, |out| {
                    out.extend_from_slice(&cause.to_be_bytes());
                    out.extend_from_slice(&((4 + reason.len()) as u16).to_be_bytes());
                    out.extend_from_slice(reason.as_bytes());
                });
            }
        }
    }
}
