//! The sections for audio in a session description. This side only receives.

use datatrack_media::Packet;
use str0m::change::SdpApi;
use str0m::media::{Direction, MediaData, MediaKind, Mid};

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

/// Puts `wanted` sections into the next offer, all of them for receiving. Returns the new ones.
///
/// The answer says `inactive` for a section whose track has left, and that replaces this side's direction. livekit-server
/// uses a section again only if it was offered for receiving.
pub(super) fn offer(api: &mut SdpApi<'_>, agreed: &[Mid], wanted: usize) -> Vec<Mid> {
    for &mid in agreed {
        api.set_direction(mid, Direction::RecvOnly);
    }
    let mut add = || api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    (agreed.len()..wanted).map(|_| add()).collect()
}

/// Changes a section and changes it back: the engine makes an offer only of a change.
pub(super) fn touch(api: &mut SdpApi<'_>, agreed: &[Mid]) {
    if let Some(&mid) = agreed.last() {
        api.set_direction(mid, Direction::Inactive);
        api.set_direction(mid, Direction::RecvOnly);
    }
}

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
