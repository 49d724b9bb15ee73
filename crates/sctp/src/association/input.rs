//! What the chunks of a received packet do.

use std::time::Instant;

use bytes::Bytes;

use super::reset::Answered;
use super::streams::MAX_STREAMS;
use super::{Association, AssociationError, Control, Event, State, StreamEvent, StreamResetError};
use crate::receive::{Arrival, Fragment, Inbound, OVERHEAD, ReceivedMessage};
use crate::send::Sender;
use crate::wire::{Chunk, Data, ForwardTsn, Init, Packet, Sack, flag, kind, u16_at, u32_at};

/// Heartbeats and other answers that wait to be sent; a peer that asks for more gets none.
const MAX_ANSWERS: usize = 16;
/// Bytes of a heartbeat that is answered; what it says is its sender's affair.
const MAX_HEARTBEAT: usize = 512;

impl Association {
    pub(super) fn handle_packet(&mut self, now: Instant, packet: &Packet) {
        self.stats.packets_received += 1;
        let mut has_data = false;
        for chunk in packet.chunks() {
            if !self.is_for_us(packet.tag, &chunk) {
                return;
            }
            if self.state == State::Closed {
                // The last word of a shutdown was lost: the peer asks for it again.
                if chunk.kind == kind::SHUTDOWN_ACK {
                    self.control.push_back(Control::ShutdownComplete { tag: packet.tag, reflected: true });
                }
                return;
            }
            has_data |= chunk.kind == kind::DATA;
            if !self.handle_chunk(now, packet, &chunk) {
                break;
            }
        }
        if has_data && let Some(arrivals) = &mut self.arrivals {
            arrivals.packet_done(now);
        }
        self.after_input(now);
    }

    /// Whether the packet's tag is the one that this chunk must come with (RFC 9260, section 8.5).
    fn is_for_us(&self, tag: u32, chunk: &Chunk) -> bool {
        let reflected = chunk.flags & 1 != 0;
        match chunk.kind {
            kind::INIT => tag == 0,
            kind::COOKIE_ECHO => tag == self.our_tag || tag == self.spare_tag,
            kind::ABORT | kind::SHUTDOWN_COMPLETE if reflected => {
                self.peer.as_ref().is_some_and(|peer| peer.tag == tag)
            }
            _ => tag == self.our_tag,
        }
    }

    /// Returns whether the rest of the packet counts.
    fn handle_chunk(&mut self, now: Instant, packet: &Packet, chunk: &Chunk) -> bool {
        let value = &chunk.value;
        match chunk.kind {
            kind::INIT => {
                if let Some(init) = Init::parse(value) {
                    self.peer_port = packet.source_port;
                    self.our_port = packet.destination_port;
                    self.handle_init(init);
                }
                return false;
            }
            kind::INIT_ACK => {
                if let Some(init) = Init::parse(value) {
                    self.handle_init_ack(init);
                }
                return false;
            }
            kind::COOKIE_ECHO => self.handle_cookie_echo(packet.tag, value),
            kind::COOKIE_ACK => self.handle_cookie_ack(),
            kind::DATA => self.handle_data(packet, chunk),
            kind::SACK => self.handle_sack(now, value),
            kind::FORWARD_TSN => self.handle_forward(value),
            kind::RECONFIG => self.handle_reconfig(value),
            kind::HEARTBEAT => self.answer_heartbeat(value),
            kind::ABORT => {
                let cause = u16_at(value, 0).unwrap_or(0);
                self.lose(AssociationError::Aborted(cause));
                return false;
            }
            kind::SHUTDOWN => self.handle_shutdown(now, value),
            kind::SHUTDOWN_ACK => self.handle_shutdown_ack(packet.tag),
            kind::SHUTDOWN_COMPLETE => {
                if self.state == State::ShutdownAckSent {
                    self.lose(AssociationError::Shutdown);
                }
                return false;
            }
            kind::HEARTBEAT_ACK | kind::ERROR => {}
            // The two upper bits say what to do with a type that is not known (RFC 9260, section 3.2).
            unknown => return unknown & 0x80 != 0,
        }
        true
    }

    fn handle_data(&mut self, packet: &Packet, chunk: &Chunk) {
        if matches!(self.state, State::Listening | State::CookieWait | State::ShutdownAckSent) {
            return;
        }
        let Some(data) = Data::parse(&chunk.value) else {
            self.abort(crate::wire_cause::NO_USER_DATA, "DATA without user data");
            self.lose(AssociationError::Protocol("DATA without user data"));
            return;
        };
        let window = self.receive_window() as usize;
        let (Some(arrivals), Some(reassembly)) = (&mut self.arrivals, &mut self.reassembly) else { return };
        let tsn = data.tsn;
        match arrivals.look(tsn) {
            Arrival::New => {}
            Arrival::Duplicate => {
                arrivals.note_duplicate(tsn);
                return;
            }
            Arrival::Refused => {
                self.stats.refused += 1;
                return;
            }
        }
        // The chunk that all wait for is taken beyond the window, within reason; others are sent again.
        let next = tsn == arrivals.cumulative().wrapping_add(1);
        let size = data.payload.len() + OVERHEAD;
        if size > window && !(next && window > 0) {
            self.stats.refused += 1;
            arrivals.hurry();
            if next && !self.streams.iter().any(|stream| stream.inbound.is_readable()) {
                self.abort(crate::wire_cause::OUT_OF_RESOURCE, "receive buffer full");
                self.lose(AssociationError::ReceiveBufferExhausted);
            }
            return;
        }
        arrivals.note(tsn);
        if chunk.flags & flag::IMMEDIATE != 0 {
            arrivals.hurry();
        }
        match reassembly.add(tsn, Fragment::new(data, chunk.flags, packet.len())) {
            Inbound::Message(message) => self.deliver(message),
            Inbound::Incomplete => {}
            Inbound::TooLarge => {
                self.abort(crate::wire_cause::PROTOCOL, "message too large");
                self.lose(AssociationError::MessageTooLarge);
            }
        }
    }

    /// A whole message: to its stream, which the peer opens by sending.
    fn deliver(&mut self, message: ReceivedMessage) {
        let id = message.stream;
        if self.streams.get(id).is_none() {
            if self.streams.open(id).is_none() {
                self.abort(crate::wire_cause::OUT_OF_RESOURCE, "too many streams");
                self.lose(AssociationError::Protocol("too many streams"));
            }
            debug_assert!(self.streams.iter().count() <= MAX_STREAMS);
        }
        let Some(stream) = self.streams.get_mut(id) else { return };
        if !stream.readable {
            return;
        }
        let size = message.payload.len() + OVERHEAD;
        self.unread += size;
        let readable = stream.inbound.add(message);
        if readable && !stream.told {
            stream.told = true;
            self.events.push_back(Event::Stream(StreamEvent::Readable { id }));
        }
    }

    /// The application has read a message.
    pub(super) fn note_read(&mut self, size: usize) {
        self.unread = self.unread.saturating_sub(size);
        // A sender that stopped for want of room is told when half of the buffer is free again.
        let window = self.receive_window();
        if self.told_window < self.config.receive_buffer / 4
            && window >= self.config.receive_buffer / 2
            && let Some(arrivals) = &mut self.arrivals
        {
            arrivals.hurry();
        }
    }

    /// The application does not read the stream any more.
    pub(super) fn discard_unread(&mut self, id: u16) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        let bytes = std::mem::take(&mut stream.inbound).bytes();
        self.unread = self.unread.saturating_sub(bytes);
    }

    fn handle_sack(&mut self, now: Instant, value: &Bytes) {
        let Some(sack) = Sack::parse(value) else { return };
        self.with_sender(|sender, freed| sender.handle_sack(now, &sack, freed));
    }

    fn handle_forward(&mut self, value: &Bytes) {
        let Some(forward) = ForwardTsn::parse(value) else { return };
        let (Some(arrivals), Some(reassembly)) = (&mut self.arrivals, &mut self.reassembly) else { return };
        // Each one is answered, for the answer may have been lost.
        arrivals.hurry();
        if !crate::serial::after(forward.cumulative, arrivals.cumulative()) {
            return;
        }
        arrivals.skip_to(forward.cumulative);
        reassembly.skip_to(forward.cumulative);
        for (id, ssn) in forward.skipped() {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            if stream.inbound.skip_to(ssn) && stream.readable && !stream.told {
                stream.told = true;
                self.events.push_back(Event::Stream(StreamEvent::Readable { id }));
            }
        }
    }

    fn handle_reconfig(&mut self, value: &Bytes) {
        let Some(resets) = &mut self.resets else { return };
        if let Answered::Refused(streams) = resets.handle(value) {
            for id in streams {
                let reason = StreamResetError::Denied;
                self.events.push_back(Event::Stream(StreamEvent::ResetFailed { id, reason }));
            }
        }
    }

    fn answer_heartbeat(&mut self, value: &Bytes) {
        let waiting =
            self.control.iter().filter(|control| matches!(control, Control::HeartbeatAck(_))).count();
        if waiting < MAX_ANSWERS && value.len() <= MAX_HEARTBEAT {
            self.control.push_back(Control::HeartbeatAck(Bytes::copy_from_slice(value)));
        }
    }

    fn handle_shutdown(&mut self, now: Instant, value: &Bytes) {
        let Some(cumulative) = u32_at(value, 0) else { return };
        let mut sack = cumulative.to_be_bytes().to_vec();
        sack.extend_from_slice(&self.config.receive_buffer.to_be_bytes());
        sack.extend_from_slice(&[0; 4]);
        self.handle_sack(now, &Bytes::from(sack));
        match self.state {
            State::Established | State::ShutdownPending => self.state = State::ShutdownReceived,
            State::ShutdownSent => {
                self.state = State::ShutdownAckSent;
                self.control.push_back(Control::ShutdownAck);
                self.repeat.start(now);
            }
            _ => {}
        }
    }

    fn handle_shutdown_ack(&mut self, tag: u32) {
        match self.state {
            State::ShutdownSent | State::ShutdownAckSent => {
                let tag = self.peer.as_ref().map_or(tag, |peer| peer.tag);
                self.lose(AssociationError::Shutdown);
                self.control.push_back(Control::ShutdownComplete { tag, reflected: false });
            }
            State::CookieWait | State::CookieEchoed | State::Listening => {
                self.control.push_back(Control::ShutdownComplete { tag, reflected: true });
            }
            _ => {}
        }
    }

    /// What follows from what has arrived: resets that wait for data, a shutdown that waits for acknowledgements.
    pub(super) fn after_input(&mut self, now: Instant) {
        let cumulative = self.arrivals.as_ref().map(super::Arrivals::cumulative);
        let mut ended = Vec::new();
        if let (Some(cumulative), Some(resets)) = (cumulative, &mut self.resets) {
            while let Some(request) = resets.poll_ready(cumulative) {
                for id in request.streams {
                    // Some engines reset a stream once more when we have reset it, too. An answer is enough then:
                    // to reset it once more here would make the two go on without end.
                    if self.streams.get(id).is_none() && !resets.is_pending(id) {
                        continue;
                    }
                    resets.theirs_is_done(id);
                    // The other direction goes, too: a data channel is closed for both (RFC 8831, section 6.7).
                    resets.close(id);
                    if let Some(reassembly) = &mut self.reassembly {
                        reassembly.forget_stream(id);
                    }
                    ended.push(id);
                }
            }
        }
        for id in ended {
            // What came before the reset can still be read: the stream goes when it is.
            match self.streams.get_mut(id) {
                Some(stream) if stream.inbound.is_readable() => {
                    stream.writable = false;
                    stream.ending = true;
                }
                _ => self.finish_stream(id),
            }
        }
        self.advance_resets(now);
        self.advance_shutdown(now);
    }

    /// The stream is gone.
    pub(super) fn finish_stream(&mut self, id: u16) {
        self.events.push_back(Event::Stream(StreamEvent::Finished { id }));
        if let Some(stream) = self.streams.remove(id) {
            self.unread = self.unread.saturating_sub(stream.inbound.bytes());
        }
    }

    /// Requests that have become possible, and resets that are through.
    pub(super) fn advance_resets(&mut self, _now: Instant) {
        if self.state != State::Established {
            return;
        }
        let (Some(resets), Some(sender)) = (&mut self.resets, &self.sender) else { return };
        resets.prepare(sender.next_tsn(), |stream| sender.has_pending(stream));
        let streams = &self.streams;
        while let Some(id) = resets.poll_complete(|id| streams.get(id).is_none()) {
            self.events.push_back(Event::Stream(StreamEvent::ResetComplete { id }));
        }
    }

    pub(super) fn advance_shutdown(&mut self, now: Instant) {
        if !self.sender.as_ref().is_none_or(Sender::is_idle) {
            return;
        }
        match self.state {
            State::ShutdownPending => {
                self.state = State::ShutdownSent;
                self.control.push_back(Control::Shutdown);
                self.repeat.start(now);
            }
            State::ShutdownReceived => {
                self.state = State::ShutdownAckSent;
                self.control.push_back(Control::ShutdownAck);
                self.repeat.start(now);
            }
            _ => {}
        }
    }
}
