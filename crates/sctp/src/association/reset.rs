//! Resetting streams (RFC 6525), as closing a data channel does (RFC 8831, section 6.7): each side resets what it
//! sends.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::serial::after;
use crate::wire::{Writer, kind, parameter, parameters, u16_at, u32_at};

/// Streams that one request names: the chunk must fit a packet.
const STREAMS_PER_REQUEST: usize = 128;
/// Requests of the peer that wait until what it sent before has arrived.
const MAX_WAITING: usize = 16;

/// Answers (RFC 6525, section 4.4).
pub(crate) mod result {
    pub(crate) const NOTHING_TO_DO: u32 = 0;
    pub(crate) const PERFORMED: u32 = 1;
    pub(crate) const DENIED: u32 = 2;
    pub(crate) const BAD_SEQUENCE: u32 = 5;
    pub(crate) const IN_PROGRESS: u32 = 6;
}

/// Our request that is not answered.
#[derive(Debug)]
struct Request {
    number: u32,
    streams: Vec<u16>,
    last_tsn: u32,
    sent: Option<Instant>,
}

/// A request of the peer: all of its data up to `last_tsn` comes before it.
#[derive(Debug)]
pub(crate) struct PeerRequest {
    pub(crate) number: u32,
    pub(crate) last_tsn: u32,
    pub(crate) streams: Vec<u16>,
}

/// What an answer did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Performed(Vec<u16>),
    Refused(Vec<u16>),
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Resets {
    next_number: u32,
    /// Streams to be reset when all that was written to them is sent.
    closing: VecDeque<u16>,
    request: Option<Request>,
    /// The number that the peer's next request has.
    expected: u32,
    /// The last answer, for a request that comes again.
    last_answer: Option<(u32, u32)>,
    waiting: VecDeque<PeerRequest>,
    answers: VecDeque<(u32, u32)>,
    /// Streams whose reset has begun and is not through in both directions: what is missing.
    pending: Vec<Pending>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    stream: u16,
    ours: bool,
    theirs: bool,
}

impl Resets {
    pub(crate) fn new(first_tsn: u32, peer_first_tsn: u32) -> Self {
        Self {
            next_number: first_tsn,
            closing: VecDeque::new(),
            request: None,
            expected: peer_first_tsn,
            last_answer: None,
            waiting: VecDeque::new(),
            answers: VecDeque::new(),
            pending: Vec::new(),
        }
    }

    fn pending_mut(&mut self, stream: u16) -> &mut Pending {
        let at = self.pending.iter().position(|pending| pending.stream == stream).unwrap_or_else(|| {
            self.pending.push(Pending { stream, ours: false, theirs: false });
            self.pending.len() - 1
        });
        &mut self.pending[at]
    }

    /// Whether the stream's identifier cannot be used yet.
    pub(crate) fn is_pending(&self, stream: u16) -> bool {
        self.pending.iter().any(|pending| pending.stream == stream)
    }

    /// This side closes the stream.
    pub(crate) fn close(&mut self, stream: u16) {
        let begun = self.closing.contains(&stream)
            || self.request.as_ref().is_some_and(|request| request.streams.contains(&stream))
            || self.pending.iter().any(|pending| pending.stream == stream && pending.ours);
        self.pending_mut(stream);
        if !begun {
            self.closing.push_back(stream);
        }
    }

    /// Makes a request of the streams that have nothing left to send.
    pub(crate) fn prepare(&mut self, next_tsn: u32, has_pending: impl Fn(u16) -> bool) {
        if self.request.is_some() || self.closing.is_empty() {
            return;
        }
        let mut streams = Vec::new();
        self.closing.retain(|&stream| {
            let ready = streams.len() < STREAMS_PER_REQUEST && !has_pending(stream);
            if ready {
                streams.push(stream);
            }
            !ready
        });
        if streams.is_empty() {
            return;
        }
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        self.request = Some(Request { number, streams, last_tsn: next_tsn.wrapping_sub(1), sent: None });
    }

    /// Whether something is to be written now.
    pub(crate) fn is_due(&self) -> bool {
        !self.answers.is_empty() || self.request.as_ref().is_some_and(|request| request.sent.is_none())
    }

    /// When the request was sent that has no answer.
    pub(crate) fn unanswered_since(&self) -> Option<Instant> {
        self.request.as_ref()?.sent
    }

    /// The request goes out again.
    pub(crate) fn repeat(&mut self) {
        if let Some(request) = &mut self.request {
            request.sent = None;
        }
    }

    /// Writes a chunk: an answer, or the request.
    pub(crate) fn write(&mut self, now: Instant, packet: &mut Writer) {
        if let Some((number, answer)) = self.answers.pop_front() {
            packet.chunk(kind::RECONFIG, 0, |out| {
                out.extend_from_slice(&parameter::RECONFIG_RESPONSE.to_be_bytes());
                out.extend_from_slice(&12_u16.to_be_bytes());
                out.extend_from_slice(&number.to_be_bytes());
                out.extend_from_slice(&answer.to_be_bytes());
            });
            return;
        }
        let expected = self.expected;
        let Some(request) = self.request.as_mut().filter(|request| request.sent.is_none()) else { return };
        request.sent = Some(now);
        packet.chunk(kind::RECONFIG, 0, |out| {
            let length = 16 + 2 * request.streams.len();
            out.extend_from_slice(&parameter::OUTGOING_RESET.to_be_bytes());
            out.extend_from_slice(&(length as u16).to_be_bytes());
            out.extend_from_slice(&request.number.to_be_bytes());
            // No request of the peer's asked for this one: then the field is the last number it may have used.
            out.extend_from_slice(&expected.wrapping_sub(1).to_be_bytes());
            out.extend_from_slice(&request.last_tsn.to_be_bytes());
            for stream in &request.streams {
                out.extend_from_slice(&stream.to_be_bytes());
            }
        });
    }

    /// Takes a RE-CONFIG chunk. What the peer asks for waits in here until [`Self::poll_ready`] gives it.
    pub(crate) fn handle(&mut self, value: &Bytes) -> Answered {
        let mut answered = Answered::Nothing;
        for (kind, content) in parameters(value, 0) {
            match kind {
                parameter::OUTGOING_RESET => self.handle_request(&content),
                parameter::RECONFIG_RESPONSE => answered = self.handle_answer(&content),
                parameter::INCOMING_RESET
                | parameter::TSN_RESET
                | parameter::ADD_OUTGOING
                | parameter::ADD_INCOMING => {
                    if let Some(number) = u32_at(&content, 0) {
                        self.answer(number, result::DENIED);
                    }
                }
                _ => {}
            }
        }
        answered
    }

    fn handle_request(&mut self, content: &Bytes) {
        let (Some(number), Some(last_tsn)) = (u32_at(content, 0), u32_at(content, 8)) else { return };
        if let Some((_, answer)) = self.last_answer.filter(|(last, _)| *last == number) {
            self.answer(number, answer);
            return;
        }
        if self.waiting.iter().any(|waiting| waiting.number == number) {
            self.answer(number, result::IN_PROGRESS);
            return;
        }
        if number != self.expected.wrapping_add(self.waiting.len() as u32)
            || self.waiting.len() >= MAX_WAITING
        {
            self.answer(number, result::BAD_SEQUENCE);
            return;
        }
        let streams = content.get(12..).unwrap_or_default().chunks_exact(2).filter_map(|id| u16_at(id, 0));
        self.waiting.push_back(PeerRequest { number, last_tsn, streams: streams.collect() });
    }

    fn answer(&mut self, number: u32, answer: u32) {
        if self.answers.len() < MAX_WAITING {
            self.answers.push_back((number, answer));
        }
    }

    fn handle_answer(&mut self, content: &Bytes) -> Answered {
        let (Some(number), Some(answer)) = (u32_at(content, 0), u32_at(content, 4)) else {
            return Answered::Nothing;
        };
        let Some(request) = self.request.take_if(|request| request.number == number) else {
            return Answered::Nothing;
        };
        match answer {
            result::IN_PROGRESS => {
                self.request = Some(request);
                Answered::Nothing
            }
            result::NOTHING_TO_DO | result::PERFORMED => {
                for &stream in &request.streams {
                    self.pending_mut(stream).ours = true;
                }
                Answered::Performed(request.streams)
            }
            _ => {
                self.pending.retain(|pending| !request.streams.contains(&pending.stream));
                Answered::Refused(request.streams)
            }
        }
    }

    /// A request of the peer's whose time has come: all that it sent before has arrived.
    pub(crate) fn poll_ready(&mut self, cumulative: u32) -> Option<PeerRequest> {
        if after(self.waiting.front()?.last_tsn, cumulative) {
            return None;
        }
        let request = self.waiting.pop_front()?;
        self.expected = request.number.wrapping_add(1);
        self.last_answer = Some((request.number, result::PERFORMED));
        self.answer(request.number, result::PERFORMED);
        Some(request)
    }

    /// The peer has reset what it sends.
    pub(crate) fn theirs_is_done(&mut self, stream: u16) {
        self.pending_mut(stream).theirs = true;
    }

    /// A stream whose reset is through in both directions.
    pub(crate) fn poll_complete(&mut self, is_gone: impl Fn(u16) -> bool) -> Option<u16> {
        let done = |pending: &Pending| pending.ours && pending.theirs && is_gone(pending.stream);
        let at = self.pending.iter().position(done)?;
        Some(self.pending.swap_remove(at).stream)
    }
}
