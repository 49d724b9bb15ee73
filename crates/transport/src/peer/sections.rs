//! The sections for audio in a session description: those that this side receives in, and one for each track that it
//! sends.

use std::sync::Arc;

use datatrack_media::{Packet, RTP_RATE, Speech};
use str0m::Rtc;
use str0m::change::SdpApi;
use str0m::format::Codec;
use str0m::media::{Direction, Frequency, MediaData, MediaKind, MediaTime, Mid};

use super::PeerEvent;

/// A section of a session description, by its `mid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Section(Mid);

impl From<&str> for Section {
    /// A name that is longer than the engine allows names no section.
    fn from(mid: &str) -> Self {
        Self(mid.into())
    }
}

/// A track that this side sends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sending {
    /// The name of the track in the description, by which the server knows the request to publish it.
    pub cid: Arc<str>,
    /// The stream that the track belongs to. Receivers play the tracks of a stream in step.
    pub stream: Arc<str>,
}

/// The sections of one connection.
#[derive(Debug, Default)]
pub(super) struct AudioSections {
    /// Sections for receiving that the other side has answered, and those in the pending offer.
    receiving: Vec<Mid>,
    receiving_offered: Vec<Mid>,
    receiving_wanted: usize,
    /// Sections for sending that the other side has answered, and those in the pending offer, with the names of their
    /// tracks. The section of a track that has ended stays in the description.
    sending: Vec<(Arc<str>, Mid)>,
    sending_offered: Vec<(Arc<str>, Mid)>,
    sending_wanted: Vec<Sending>,
}

impl AudioSections {
    /// Sets how many sections the next offers have for receiving, at least those that there are.
    pub(super) const fn receive(&mut self, count: usize) {
        self.receiving_wanted = count;
    }

    /// Sets the tracks to send from the next offer on. Returns how many new sections that offer has for them.
    pub(super) fn send(&mut self, tracks: Vec<Sending>) -> usize {
        self.sending_wanted = tracks;
        self.sending_wanted.iter().filter(|track| self.is_new(&track.cid)).count()
    }

    /// Whether the track has a section in neither the description nor the pending offer.
    fn is_new(&self, cid: &str) -> bool {
        !self.sending.iter().chain(&self.sending_offered).any(|(known, _)| **known == *cid)
    }

    /// Puts the sections into the next offer.
    ///
    /// The answer says `inactive` for a section whose track has left, and that replaces this side's direction.
    /// livekit-server uses a section again only if it was offered for receiving.
    pub(super) fn offer(&mut self, api: &mut SdpApi<'_>) {
        for &mid in &self.receiving {
            api.set_direction(mid, Direction::RecvOnly);
        }
        let mut add = || api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        self.receiving_offered = (self.receiving.len()..self.receiving_wanted).map(|_| add()).collect();
        for (cid, mid) in &self.sending {
            let wanted = self.sending_wanted.iter().any(|track| track.cid == *cid);
            api.set_direction(*mid, if wanted { Direction::SendOnly } else { Direction::Inactive });
        }
        self.sending_offered.clear();
        for Sending { cid, stream } in &self.sending_wanted {
            if self.is_new(cid) {
                let (stream, track) = (Some(stream.to_string()), Some(cid.to_string()));
                let mid = api.add_media(MediaKind::Audio, Direction::SendOnly, stream, track, None);
                self.sending_offered.push((Arc::clone(cid), mid));
            }
        }
    }

    /// Changes a section and changes it back: the engine makes an offer only of a change.
    pub(super) fn touch(&self, api: &mut SdpApi<'_>) {
        if let Some(&mid) = self.receiving.last() {
            api.set_direction(mid, Direction::Inactive);
            api.set_direction(mid, Direction::RecvOnly);
        }
    }

    /// The other side has answered the offer.
    pub(super) fn answered(&mut self, accepted: bool) {
        let receiving = std::mem::take(&mut self.receiving_offered);
        let sending = std::mem::take(&mut self.sending_offered);
        if accepted {
            self.receiving.extend(receiving);
            self.sending.extend(sending);
        }
    }

    /// The section of a track, once the other side has answered it.
    pub(super) fn of(&self, cid: &str) -> Option<Mid> {
        self.sending.iter().find(|(known, _)| **known == *cid).map(|(_, mid)| *mid)
    }
}

/// Writes a packet into a section. Returns whether the engine took it.
pub(super) fn write(rtc: &mut Rtc, mid: Mid, speech: Speech, wallclock: std::time::Instant) -> bool {
    if !rtc.media(mid).is_some_and(|media| media.direction().is_sending()) {
        return false;
    }
    let Some(writer) = rtc.writer(mid) else { return false };
    let opus = writer.payload_params().find(|params| params.spec().codec == Codec::Opus);
    let Some(pt) = opus.map(|params| params.pt()) else { return false };
    debug_assert_eq!(Frequency::FORTY_EIGHT_KHZ.get(), RTP_RATE);
    let time = MediaTime::new(speech.time, Frequency::FORTY_EIGHT_KHZ);
    // The extension has negative decibels.
    let level = 0i8.saturating_sub_unsigned(speech.level.min(127));
    let active = level > SPEAKING;
    writer
        .audio_level(level, active)
        .start_of_talkspurt(speech.start)
        .write(pt, wallclock, time, speech.payload)
        .is_ok()
}

/// What is louder, in dBov, counts as speech.
const SPEAKING: i8 = -50;

/// The event of a packet.
pub(super) fn packet(data: MediaData) -> PeerEvent {
    PeerEvent::Audio {
        section: Section(data.mid),
        packet: Packet {
            sequence: **data.seq_range.start(),
            time: data.time.numer(),
            payload: data.data,
            repaired: false,
        },
    }
}

/// Marks the packets that did not arrive themselves, of those that one datagram made: the engine takes them from what
/// the packet in the datagram repeats of those before it (RFC 2198).
pub(super) fn mark_repaired<'a>(events: impl Iterator<Item = &'a mut PeerEvent>) {
    let mut arrived: Option<&mut Packet> = None;
    for event in events {
        let PeerEvent::Audio { packet, .. } = event else { continue };
        let newer = arrived.as_ref().is_none_or(|arrived| arrived.sequence < packet.sequence);
        let older = if newer { arrived.replace(packet) } else { Some(packet) };
        if let Some(older) = older {
            older.repaired = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_packets_of_a_datagram_the_newest_one_arrived_itself() {
        for order in [&[][..], &[7], &[6, 7], &[7, 6], &[5, 7, 6], &[7, 5, 6], &[5, 6, 7]] {
            let packet = |sequence| Packet { sequence, time: 0, payload: [].into(), repaired: false };
            let event = |&sequence| PeerEvent::Audio { section: "0".into(), packet: packet(sequence) };
            let mut events: Vec<_> = order.iter().map(event).chain([PeerEvent::Connected]).collect();
            mark_repaired(events.iter_mut());
            let repaired = events.iter().filter_map(|event| match event {
                PeerEvent::Audio { packet, .. } => Some((packet.sequence, packet.repaired)),
                _ => None,
            });
            assert!(repaired.eq(order.iter().map(|&sequence| (sequence, sequence != 7))), "{order:?}");
        }
    }
}
