//! Puts messages together. TSNs of a message follow one another, so a fragment belongs to its neighbours.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::serial::{after, before, distance, unwrap_ssn};
use crate::wire::{Data, flag};

/// What a fragment or a message costs beside its bytes.
pub(crate) const OVERHEAD: usize = 64;

/// A DATA chunk on its way into a message.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) ppid: u32,
    pub(crate) flags: u8,
    pub(crate) payload: Bytes,
}

impl Fragment {
    /// `packet`: bytes of the packet that the payload is a part of, all of which it would keep.
    pub(crate) fn new(data: Data, flags: u8, packet: usize) -> Self {
        let payload = if data.payload.len() * 2 < packet {
            Bytes::copy_from_slice(&data.payload)
        } else {
            data.payload
        };
        Self { stream: data.stream, ssn: data.ssn, ppid: data.ppid, flags, payload }
    }

    fn begins(&self) -> bool {
        self.flags & flag::BEGIN != 0
    }

    fn ends(&self) -> bool {
        self.flags & flag::END != 0
    }

    fn is_unordered(&self) -> bool {
        self.flags & flag::UNORDERED != 0
    }
}

/// A whole message.
#[derive(Debug)]
pub(crate) struct ReceivedMessage {
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) ppid: u32,
    pub(crate) unordered: bool,
    pub(crate) payload: Bytes,
}

/// A fragment, and at both ends of a run of neighbours where the run goes.
#[derive(Debug)]
struct Slot {
    fragment: Fragment,
    first: u32,
    last: u32,
}

/// Fragments of messages that are not whole.
#[derive(Debug)]
pub(crate) struct Reassembly {
    slots: VecDeque<Option<Slot>>,
    /// TSN of the first slot.
    base: u32,
    bytes: usize,
    max_message: usize,
}

/// What became of a fragment.
pub(crate) enum Inbound {
    Message(ReceivedMessage),
    Incomplete,
    /// The message is larger than may be received.
    TooLarge,
}

impl Reassembly {
    pub(crate) fn new(first_tsn: u32, max_message: usize) -> Self {
        Self { slots: VecDeque::new(), base: first_tsn, bytes: 0, max_message }
    }

    /// Bytes that fragments take, with their bookkeeping.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a fragment with a new TSN.
    pub(crate) fn add(&mut self, tsn: u32, fragment: Fragment) -> Inbound {
        if fragment.begins() && fragment.ends() {
            return self.whole(fragment);
        }
        if fragment.payload.len() > self.max_message {
            return Inbound::TooLarge;
        }
        if self.slots.is_empty() {
            self.base = tsn;
        }
        while before(tsn, self.base) {
            self.slots.push_front(None);
            self.base = self.base.wrapping_sub(1);
        }
        let at = distance(self.base, tsn);
        while self.slots.len() <= at {
            self.slots.push_back(None);
        }
        self.bytes += fragment.payload.len() + OVERHEAD;
        let (mut first, mut last) = (tsn, tsn);
        if !fragment.begins()
            && let Some(left) =
                self.slot(tsn.wrapping_sub(1)).filter(|left| belongs(&left.fragment, &fragment))
        {
            first = left.first;
        }
        if !fragment.ends()
            && let Some(right) =
                self.slot(tsn.wrapping_add(1)).filter(|right| belongs(&fragment, &right.fragment))
        {
            last = right.last;
        }
        if let Some(place) = self.slots.get_mut(at) {
            *place = Some(Slot { fragment, first, last });
        }
        self.set_run(first, last);
        let whole = self.slot(first).is_some_and(|slot| slot.fragment.begins())
            && self.slot(last).is_some_and(|slot| slot.fragment.ends());
        if whole { self.join(first, last) } else { Inbound::Incomplete }
    }

    fn whole(&mut self, fragment: Fragment) -> Inbound {
        if fragment.payload.len() > self.max_message {
            return Inbound::TooLarge;
        }
        Inbound::Message(ReceivedMessage {
            stream: fragment.stream,
            ssn: fragment.ssn,
            ppid: fragment.ppid,
            unordered: fragment.is_unordered(),
            payload: fragment.payload,
        })
    }

    fn slot(&self, tsn: u32) -> Option<&Slot> {
        if before(tsn, self.base) {
            return None;
        }
        self.slots.get(distance(self.base, tsn))?.as_ref()
    }

    fn set_run(&mut self, first: u32, last: u32) {
        for end in [first, last] {
            let at = distance(self.base, end);
            if let Some(Some(slot)) = self.slots.get_mut(at) {
                slot.first = first;
                slot.last = last;
            }
        }
    }

    fn join(&mut self, first: u32, last: u32) -> Inbound {
        let mut payload = BytesMut::new();
        let mut head = None;
        let mut tsn = first;
        while !after(tsn, last) {
            if let Some(slot) = self.take(tsn) {
                payload.extend_from_slice(&slot.fragment.payload);
                head.get_or_insert(slot.fragment);
            }
            tsn = tsn.wrapping_add(1);
        }
        self.trim();
        let Some(head) = head else { return Inbound::Incomplete };
        if payload.len() > self.max_message {
            return Inbound::TooLarge;
        }
        Inbound::Message(ReceivedMessage {
            stream: head.stream,
            ssn: head.ssn,
            ppid: head.ppid,
            unordered: head.is_unordered(),
            payload: payload.freeze(),
        })
    }

    fn take(&mut self, tsn: u32) -> Option<Slot> {
        if before(tsn, self.base) {
            return None;
        }
        let slot = self.slots.get_mut(distance(self.base, tsn))?.take()?;
        self.bytes = self.bytes.saturating_sub(slot.fragment.payload.len() + OVERHEAD);
        Some(slot)
    }

    fn trim(&mut self) {
        while matches!(self.slots.front(), Some(None)) {
            self.slots.pop_front();
            self.base = self.base.wrapping_add(1);
        }
    }

    /// The peer does not send what is up to there: fragments of messages that lack some of it go.
    pub(crate) fn skip_to(&mut self, tsn: u32) {
        if self.slots.is_empty() {
            return;
        }
        while !after(self.base, tsn) && !self.slots.is_empty() {
            self.take(self.base);
            self.slots.pop_front();
            self.base = self.base.wrapping_add(1);
        }
        // What follows at once and does not begin a message has lost its beginning.
        let follows = self.base == tsn.wrapping_add(1);
        while let Some(Some(slot)) = self.slots.front() {
            if !follows || slot.fragment.begins() {
                break;
            }
            self.take(self.base);
            self.slots.pop_front();
            self.base = self.base.wrapping_add(1);
        }
        self.trim();
    }

    /// Forgets the fragments of a stream that is reset.
    pub(crate) fn forget_stream(&mut self, stream: u16) {
        for place in &mut self.slots {
            if place.as_ref().is_some_and(|slot| slot.fragment.stream == stream)
                && let Some(slot) = place.take()
            {
                self.bytes = self.bytes.saturating_sub(slot.fragment.payload.len() + OVERHEAD);
            }
        }
        self.trim();
    }
}

/// Whether two chunks with neighbouring TSNs are of one message.
fn belongs(left: &Fragment, right: &Fragment) -> bool {
    !left.ends()
        && !right.begins()
        && left.stream == right.stream
        && left.is_unordered() == right.is_unordered()
        && (left.is_unordered() || left.ssn == right.ssn)
}

/// Messages of one stream that wait for their turn or for their reader.
#[derive(Debug)]
pub(crate) struct InboundStream {
    ready: VecDeque<ReceivedMessage>,
    /// Ordered ones before whose turn others are missing, by their number without wrap.
    waiting: BTreeMap<u64, ReceivedMessage>,
    next: u64,
}

impl Default for InboundStream {
    fn default() -> Self {
        // A peer may name a number before the first one; without wrap that is one, too.
        Self { ready: VecDeque::new(), waiting: BTreeMap::new(), next: 1 << 16 }
    }
}

impl InboundStream {
    /// Returns whether there is something to read now that there was not.
    pub(crate) fn add(&mut self, message: ReceivedMessage) -> bool {
        if message.unordered {
            self.ready.push_back(message);
            return true;
        }
        let number = unwrap_ssn(message.ssn, self.next);
        if number < self.next {
            return false;
        }
        self.waiting.insert(number, message);
        self.release()
    }

    fn release(&mut self) -> bool {
        let mut released = false;
        while let Some(message) = self.waiting.remove(&self.next) {
            self.ready.push_back(message);
            self.next += 1;
            released = true;
        }
        released
    }

    /// Numbers up to that one are not coming (RFC 3758). Whole messages among them are handed out all the same.
    pub(crate) fn skip_to(&mut self, ssn: u16) -> bool {
        let number = unwrap_ssn(ssn, self.next);
        let mut released = false;
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() > number {
                break;
            }
            self.ready.push_back(entry.remove());
            released = true;
        }
        self.next = self.next.max(number + 1);
        self.release() || released
    }

    pub(crate) fn read(&mut self) -> Option<ReceivedMessage> {
        self.ready.pop_front()
    }

    pub(crate) fn is_readable(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Bytes that it keeps, with their bookkeeping.
    pub(crate) fn bytes(&self) -> usize {
        self.ready.iter().chain(self.waiting.values()).map(|message| message.payload.len() + OVERHEAD).sum()
    }
}
