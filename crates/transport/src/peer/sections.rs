//! The sections for audio in a session description: those that this side receives in, and one for each track that it
//! sends.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

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
    /// Whether each packet repeats the one before it (RFC 2198), if the other side takes that. Sealed packets must not.
    pub red: bool,
}

/// The sections of one connection.
#[derive(Debug, Default)]
pub(super) struct AudioSections {
    /// Sections for receiving that the other side has answered, and those in the pending offer.
    receiving: Vec<Mid>,
    receiving_offered: Vec<Mid>,
    receiving_wanted: usize,
    /// Sections for sending that the other side has answered, and new ones in the pending offer.
    sending: Vec<Own>,
    sending_offered: Vec<(Sending, Mid)>,
    sending_wanted: Vec<Sending>,
}

/// A section for sending. It stays in the description. After its track has ended, another one gets it.
#[derive(Debug)]
struct Own {
    mid: Mid,
    /// The track that has the section, or had it last.
    track: Sending,
    state: OwnState,
    /// The time of the last packet, and what is added to the times of the track.
    last: u64,
    shift: u64,
    /// Whether nothing of the track was sent yet.
    anew: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnState {
    /// The track is sent.
    Agreed,
    /// The pending or the next offer gives the section to the track.
    Offered,
    /// The track has ended, and the pending offer says so.
    Ending,
    /// The other side knows that the track has ended.
    Free,
}

impl Own {
    const fn new(track: Sending, mid: Mid) -> Self {
        Self { mid, track, state: OwnState::Agreed, last: 0, shift: 0, anew: false }
    }

    fn has(&self, cid: &str) -> bool {
        *self.track.cid == *cid && matches!(self.state, OwnState::Agreed | OwnState::Offered)
    }

    /// The server decides at a section's first track whether it prefers RED in it.
    fn suits(&self, track: &Sending) -> bool {
        self.state == OwnState::Free && self.track.red == track.red
    }

    /// The time of a packet in the section. Times of another track are far from those of the track before, so that no
    /// packet repeats one of that track.
    fn time(&mut self, time: u64) -> u64 {
        if std::mem::take(&mut self.anew) {
            self.shift = self.last.wrapping_add(BETWEEN_TRACKS).wrapping_sub(time);
        }
        self.last = time.wrapping_add(self.shift);
        self.last
    }
}

/// Ticks between the packets of two tracks in one section. RED reaches back 2^14 ticks at most (RFC 2198).
const BETWEEN_TRACKS: u64 = 1 << 17;

impl AudioSections {
    /// Sets how many sections the next offers have for receiving, at least those that there are.
    pub(super) const fn receive(&mut self, count: usize) {
        self.receiving_wanted = count;
    }

    /// New sections for receiving in the pending offer.
    pub(super) fn offered(&self) -> impl Iterator<Item = Section> {
        self.receiving_offered.iter().map(|&mid| Section(mid))
    }

    /// Sets the tracks to send from the next offer on. Returns how many new sections that offer may have for them.
    pub(super) fn send(&mut self, tracks: Vec<Sending>) -> usize {
        self.sending_wanted = tracks;
        let new = self.sending_wanted.iter().filter(|track| self.is_new(&track.cid));
        let mut free: Vec<_> = self.sending.iter().collect();
        let lacks = |track: &&Sending| match free.iter().position(|own| own.suits(track)) {
            Some(at) => {
                free.swap_remove(at);
                false
            }
            None => true,
        };
        new.filter(lacks).count()
    }

    /// Whether the track has a section in neither the description nor the pending offer.
    fn is_new(&self, cid: &str) -> bool {
        let offered = self.sending_offered.iter().any(|(track, _)| *track.cid == *cid);
        !offered && !self.sending.iter().any(|own| own.has(cid))
    }

    /// Gives free sections to new tracks, before an offer is made. Each gets a new SSRC, by which the server knows that
    /// it is another track.
    pub(super) fn assign(&mut self, rtc: &mut Rtc) {
        for track in &self.sending_wanted {
            if self.sending.iter().any(|own| own.has(&track.cid)) {
                continue;
            }
            let Some(own) = self.sending.iter_mut().find(|own| own.suits(track)) else { continue };
            let mut api = rtc.direct_api();
            let Some(before) = api.stream_tx_by_mid(own.mid, None).map(|stream| stream.ssrc()) else {
                continue;
            };
            api.remove_stream_tx(before);
            let ssrc = api.new_ssrc();
            api.declare_stream_tx(ssrc, None, own.mid, None);
            own.track = track.clone();
            own.state = OwnState::Offered;
            own.anew = true;
        }
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
        for own in &mut self.sending {
            let wanted = self.sending_wanted.iter().any(|track| own.has(&track.cid));
            if !wanted && own.state != OwnState::Free {
                own.state = OwnState::Ending;
            }
            api.set_direction(own.mid, if wanted { Direction::SendOnly } else { Direction::Inactive });
        }
        self.sending_offered.clear();
        for wanted in &self.sending_wanted {
            if self.is_new(&wanted.cid) {
                let (stream, track) = (Some(token(&wanted.stream)), Some(token(&wanted.cid)));
                let mid = api.add_media(MediaKind::Audio, Direction::SendOnly, stream, track, None);
                self.sending_offered.push((wanted.clone(), mid));
            }
        }
    }

    /// The offer with the names of the tracks that have their sections now. The engine knows those of the first ones.
    ///
    /// A track without RED has the codec itself first: livekit-server takes the first one, before it has a packet.
    pub(super) fn named(&self, sdp: &str) -> String {
        let mut named = String::with_capacity(sdp.len());
        for section in parts(sdp) {
            let mid = mid_of(section);
            let is = |of: &Mid| mid.is_some_and(|mid| *mid == **of);
            let own = self.sending.iter().find(|own| is(&own.mid)).map(|own| &own.track);
            let new = || self.sending_offered.iter().find(|(_, mid)| is(mid)).map(|(track, _)| track);
            let Some(track) = own.or_else(new) else {
                named.push_str(section);
                continue;
            };
            let red = (!track.red).then(|| red_in(section)).flatten();
            for line in section.split_inclusive('\n') {
                let changed = renamed(line, track).or_else(|| red.and_then(|red| put_last(line, red)));
                named.push_str(changed.as_deref().unwrap_or(line));
            }
        }
        named
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
        if !accepted {
            return;
        }
        self.receiving.extend(receiving);
        for own in &mut self.sending {
            own.state = match own.state {
                OwnState::Agreed | OwnState::Offered => OwnState::Agreed,
                OwnState::Ending | OwnState::Free => OwnState::Free,
            };
        }
        self.sending.extend(sending.into_iter().map(|(track, mid)| Own::new(track, mid)));
    }

    /// Whether the other side has answered the section of a track.
    pub(super) fn is_agreed(&self, cid: &str) -> bool {
        self.sending.iter().any(|own| own.state == OwnState::Agreed && own.has(cid))
    }

    /// Writes a packet into the section of its track. Returns whether the engine took it.
    pub(super) fn write(&mut self, rtc: &mut Rtc, cid: &str, speech: Speech, wallclock: Instant) -> bool {
        let agreed = |own: &&mut Own| own.state == OwnState::Agreed && own.has(cid);
        let Some(own) = self.sending.iter_mut().find(agreed) else { return false };
        let mid = own.mid;
        if !rtc.media(mid).is_some_and(|media| media.direction().is_sending()) {
            return false;
        }
        // The engine repeats packets wherever the other side takes that.
        rtc.direct_api().set_red_send(mid, own.track.red);
        let Some(writer) = rtc.writer(mid) else { return false };
        let opus = writer.payload_params().find(|params| params.spec().codec == Codec::Opus);
        let Some(pt) = opus.map(|params| params.pt()) else { return false };
        debug_assert_eq!(Frequency::FORTY_EIGHT_KHZ.get(), RTP_RATE);
        let time = MediaTime::new(own.time(speech.time), Frequency::FORTY_EIGHT_KHZ);
        // The extension has negative decibels.
        let level = 0i8.saturating_sub_unsigned(speech.level.min(127));
        let active = level > SPEAKING;
        writer
            .audio_level(level, active)
            .start_of_talkspurt(speech.start)
            .write(pt, wallclock, time, speech.payload)
            .is_ok()
    }
}

/// What is before the sections of a description, and each section.
fn parts(sdp: &str) -> impl Iterator<Item = &str> {
    let mut rest = sdp;
    std::iter::from_fn(move || {
        let end = rest.get(1..)?.find("\nm=").map_or(rest.len(), |at| at + 2);
        let (part, behind) = rest.split_at(end);
        rest = behind;
        Some(part)
    })
}

/// The `mid` of a section.
fn mid_of(section: &str) -> Option<&str> {
    section.lines().find_map(|line| line.strip_prefix("a=mid:"))
}

/// The streams that the other side's last description named. The engine keeps each one that was ever named, and reports to
/// the other side on all of them.
#[derive(Debug, Default)]
pub(super) struct Streams(HashSet<u32>);

impl Streams {
    /// The other side's description was taken. The engine forgets the streams that it does not name any more.
    pub(super) fn described(&mut self, rtc: &mut Rtc, sdp: &str) {
        let named = sdp.lines().filter_map(ssrc_of).collect();
        for &ssrc in self.0.difference(&named) {
            rtc.direct_api().remove_stream_rx(ssrc.into());
        }
        self.0 = named;
    }
}

fn ssrc_of(line: &str) -> Option<u32> {
    line.strip_prefix("a=ssrc:")?.split(' ').next()?.parse().ok()
}

/// A line that names a section's track, with the name of the track that it has now.
fn renamed(line: &str, track: &Sending) -> Option<String> {
    let (before, _) = match line.strip_prefix("a=msid:") {
        Some(_) => line.split_at("a=msid:".len()),
        None if line.starts_with("a=ssrc:") => line.split_at(line.find(" msid:")? + " msid:".len()),
        None => return None,
    };
    Some(format!("{before}{} {}\r\n", token(&track.stream), token(&track.cid)))
}

/// The payload type of RED in a section.
fn red_in(section: &str) -> Option<&str> {
    section.lines().find_map(|line| line.strip_prefix("a=rtpmap:")?.strip_suffix(" red/48000/2"))
}

/// The first line of a section, with a payload type behind the others.
fn put_last(line: &str, payload_type: &str) -> Option<String> {
    let fields = line.strip_prefix("m=")?.split_ascii_whitespace();
    let others: Vec<_> = fields.filter(|field| *field != payload_type).collect();
    Some(format!("m={} {payload_type}\r\n", others.join(" ")))
}

/// What of a text may be a name in a description (RFC 8830); a hyphen, which stands for no name, if nothing may.
fn token(text: &str) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`{|}".contains(*c);
    let name: String = text.chars().filter(allowed).take(64).collect();
    if name.is_empty() { "-".to_owned() } else { name }
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
