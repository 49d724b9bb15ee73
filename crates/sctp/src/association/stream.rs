//! A stream, as its user sees it.

use std::time::Duration;

use bytes::Bytes;

use super::{Association, State, StreamId};
use crate::error::{Error, Result};
use crate::ppid::PayloadProtocolIdentifier;
use crate::receive::{OVERHEAD, ReceivedMessage};
use crate::send::{Limit, Outgoing};

/// How hard the messages of a stream are tried (RFC 8832, section 5.1).
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
#[repr(C)]
pub enum ReliabilityType {
    /// Until they arrive.
    #[default]
    Reliable = 0,
    /// With a number of retransmissions.
    Rexmit = 1,
    /// For a number of ms.
    Timed = 2,
}

impl From<u8> for ReliabilityType {
    fn from(value: u8) -> Self {
        match value {
            1 => Self::Rexmit,
            2 => Self::Timed,
            _ => Self::Reliable,
        }
    }
}

/// A stream of an association.
#[derive(Debug)]
pub struct Stream<'a> {
    association: &'a mut Association,
    id: StreamId,
}

/// A message that was received.
#[derive(Debug)]
pub struct Chunks {
    /// What it is.
    pub ppi: PayloadProtocolIdentifier,
    payload: Bytes,
}

impl Chunks {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Copies it out.
    ///
    /// # Errors
    /// When the buffer is shorter.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        let target = buffer.get_mut(..self.payload.len()).ok_or(Error::ErrShortBuffer)?;
        target.copy_from_slice(&self.payload);
        Ok(self.payload.len())
    }

    /// The bytes themselves.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.payload
    }
}

impl<'a> Stream<'a> {
    pub(super) fn new(association: &'a mut Association, id: StreamId) -> Self {
        Self { association, id }
    }

    /// Its identifier.
    #[must_use]
    pub fn stream_identifier(&self) -> StreamId {
        self.id
    }

    /// The next message; `None`: there is none yet.
    ///
    /// # Errors
    /// When the stream is closed for reading.
    pub fn read(&mut self) -> Result<Option<Chunks>> {
        let stream = self.association.streams.get_mut(self.id).ok_or(Error::ErrStreamNotExisted)?;
        if !stream.readable {
            return Err(Error::ErrStreamClosed);
        }
        stream.told = false;
        let Some(message) = stream.inbound.read() else { return Ok(None) };
        let ended = stream.ending && !stream.inbound.is_readable();
        let ReceivedMessage { ppid, payload, .. } = message;
        self.association.note_read(payload.len() + OVERHEAD);
        if ended {
            self.association.finish_stream(self.id);
        }
        Ok(Some(Chunks { ppi: ppid.into(), payload }))
    }

    /// Writes a message. It is taken whole; [`Self::buffered_amount`] says how much waits.
    ///
    /// # Errors
    /// When the association is not established, the stream is closed for writing, or the message is larger than the
    /// peer takes.
    pub fn write_with_ppi(&mut self, data: &[u8], ppi: PayloadProtocolIdentifier) -> Result<usize> {
        if !matches!(self.association.state, State::Established) {
            return Err(Error::ErrPayloadDataStateNotExist);
        }
        if data.len() > self.association.max_send_message {
            return Err(Error::ErrOutboundPacketTooLarge);
        }
        let stream = self.association.streams.get_mut(self.id).ok_or(Error::ErrStreamNotExisted)?;
        if !stream.writable {
            return Err(Error::ErrStreamClosed);
        }
        // A message of no length is one byte on the wire (RFC 8831, section 6.6).
        let payload = if data.is_empty() { Bytes::from_static(&[0]) } else { Bytes::copy_from_slice(data) };
        // Messages of the establishment protocol must arrive, in order, whatever the channel is (RFC 8832, section 6).
        let dcep = ppi == PayloadProtocolIdentifier::Dcep;
        let unordered = stream.unordered && !dcep;
        let limit = if dcep { Limit::None } else { stream.limit };
        let ssn = stream.next_ssn;
        if !unordered {
            stream.next_ssn = ssn.wrapping_add(1);
        }
        stream.buffered += payload.len();
        let repair = crate::scope::repairs();
        let outgoing = Outgoing { stream: self.id, ssn, ppid: ppi as u32, unordered, limit, repair, payload };
        if let Some(sender) = &mut self.association.sender {
            sender.write(outgoing);
        }
        Ok(data.len())
    }

    /// How messages that are written from now on are sent. `value`: retransmissions, or ms.
    ///
    /// # Errors
    /// When there is no such stream.
    pub fn set_reliability_params(
        &mut self,
        unordered: bool,
        kind: ReliabilityType,
        value: u32,
    ) -> Result<()> {
        let stream = self.association.streams.get_mut(self.id).ok_or(Error::ErrStreamNotExisted)?;
        stream.unordered = unordered;
        stream.limit = match kind {
            ReliabilityType::Reliable => Limit::None,
            ReliabilityType::Rexmit => Limit::Retransmissions(value),
            ReliabilityType::Timed => Limit::Lifetime(Duration::from_millis(u64::from(value))),
        };
        Ok(())
    }

    /// Bytes that were written and are neither acknowledged nor given up.
    ///
    /// # Errors
    /// When there is no such stream.
    pub fn buffered_amount(&self) -> Result<usize> {
        Ok(self.association.streams.get(self.id).ok_or(Error::ErrStreamNotExisted)?.buffered)
    }

    /// Tells [`super::StreamEvent::BufferedAmountLow`] when that amount falls to so many bytes.
    ///
    /// # Errors
    /// When there is no such stream.
    pub fn set_buffered_amount_low_threshold(&mut self, threshold: usize) -> Result<()> {
        self.association.streams.get_mut(self.id).ok_or(Error::ErrStreamNotExisted)?.low_threshold =
            threshold;
        Ok(())
    }

    /// Whether it may be read from.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.association.streams.get(self.id).is_some_and(|stream| stream.readable)
    }

    /// Whether it may be written to.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.association.streams.get(self.id).is_some_and(|stream| stream.writable)
    }

    /// Closes it in both directions. What was written is still sent; then the stream is reset.
    ///
    /// # Errors
    /// When the association is not established: then no reset is under way.
    pub fn close(&mut self) -> Result<()> {
        let stream = self.association.streams.get_mut(self.id).ok_or(Error::ErrStreamNotExisted)?;
        stream.readable = false;
        stream.writable = false;
        let ending = stream.ending;
        if self.association.state != State::Established {
            return Err(Error::ErrPayloadDataStateNotExist);
        }
        if let Some(resets) = &mut self.association.resets {
            resets.close(self.id);
        }
        self.association.discard_unread(self.id);
        if ending {
            self.association.finish_stream(self.id);
        }
        Ok(())
    }
}
