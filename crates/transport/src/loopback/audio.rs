//! The audio tracks of a hub: from a member's voices to the readers of those who hear them.

use std::sync::Arc;

use datatrack_media::{Packet, Speech};

use super::MemberId;
use crate::hearing::Hearing;
use crate::network::Fates;
use crate::speaking::Speaking;

/// Bytes of an RTP header.
const HEADER: usize = 12;

/// What a packet that repeats another one has more, besides that one's payload (RFC 2198): two headers.
const RED_HEADERS: usize = 5;

/// How far RED reaches back, in ticks, and how long what it repeats may be: its fields have 14 and 10 bits.
const RED_TICKS: u64 = 1 << 14;
const RED_BYTES: usize = 1 << 10;

/// What a member says and hears.
#[derive(Debug, Clone, Default)]
pub struct Sound {
    /// The voices of its published tracks.
    pub speaking: Arc<Speaking>,
    /// The readers of the tracks that it subscribes to.
    pub hearing: Arc<Hearing>,
}

/// A published track, for [`Hub::set_audio_route`](super::Hub::set_audio_route).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioRoute {
    /// The name of the track's voice.
    pub cid: String,
    /// The SID of the track.
    pub sid: String,
    /// Whether each packet repeats the one before it.
    pub red: bool,
    /// Who hears the track.
    pub to: Vec<MemberId>,
}

/// A packet on its way.
#[derive(Debug, Clone)]
pub(super) struct Spoken {
    pub(super) cid: Arc<str>,
    sid: Arc<str>,
    packet: Packet,
    /// The packet before it, which it repeats.
    before: Option<Packet>,
}

/// A packet for a reader.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) to: MemberId,
    pub(super) sid: Arc<str>,
    pub(super) packet: Packet,
}

/// The audio of one member.
#[derive(Debug)]
pub(super) struct Audio {
    pub(super) sound: Sound,
    tracks: Vec<Track>,
    /// How many tracks there were so far. It numbers the sequences of their fates.
    published: u64,
}

#[derive(Debug)]
struct Track {
    cid: Arc<str>,
    sid: Arc<str>,
    red: bool,
    to: Vec<MemberId>,
    number: u64,
    fates: Fates,
    /// The sequence number of the next packet, and the packet before it.
    next: u64,
    before: Option<Packet>,
    arrivals: Arrivals,
}

impl Audio {
    pub(super) const fn new(sound: Sound) -> Self {
        Self { sound, tracks: Vec::new(), published: 0 }
    }

    /// Returns the members that hear the track now and did not before. `seed` and `sender`: those of the network.
    pub(super) fn set(&mut self, route: AudioRoute, seed: u64, sender: u64) -> Vec<MemberId> {
        let AudioRoute { cid, sid, red, to } = route;
        if let Some(track) = self.tracks.iter_mut().find(|track| *track.sid == *sid) {
            let added = to.iter().copied().filter(|member| !track.to.contains(member)).collect();
            track.to = to;
            return added;
        }
        self.remove(&cid);
        self.published += 1;
        self.tracks.push(Track {
            cid: cid.into(),
            sid: sid.into(),
            red,
            to: to.clone(),
            number: self.published,
            fates: Fates::new(seed, sender, self.published),
            next: 0,
            before: None,
            arrivals: Arrivals::default(),
        });
        to
    }

    /// Ends the track of that voice.
    pub(super) fn remove(&mut self, cid: &str) {
        self.tracks.retain(|track| *track.cid != *cid);
    }

    /// A member has left.
    pub(super) fn remove_member(&mut self, id: MemberId) {
        for track in &mut self.tracks {
            track.to.retain(|to| *to != id);
        }
    }

    /// The sequences of fates begin again.
    pub(super) fn set_seed(&mut self, seed: u64, sender: u64) {
        for track in &mut self.tracks {
            track.fates = Fates::new(seed, sender, track.number);
        }
    }

    /// Takes what the voices of published tracks have said. What others have said waits. `send` gets each packet with
    /// its length on the wire.
    pub(super) fn take(&mut self, mut send: impl FnMut(&mut Fates, Spoken, usize)) {
        let Self { sound, tracks, .. } = self;
        let tracks = std::cell::RefCell::new(tracks);
        sound.speaking.take(
            |cid| tracks.borrow().iter().any(|track| *track.cid == *cid),
            |cid, speech| {
                let mut tracks = tracks.borrow_mut();
                let Some(track) = tracks.iter_mut().find(|track| *track.cid == *cid) else { return };
                let (spoken, len) = track.say(speech);
                send(&mut track.fates, spoken, len);
            },
        );
    }

    /// A packet has come through the network. Returns how many members hear it.
    pub(super) fn arrive(&mut self, spoken: Spoken, heard: &mut Vec<Heard>) -> usize {
        let Some(track) = self.tracks.iter_mut().find(|track| track.sid == spoken.sid) else { return 0 };
        track.arrivals.note(spoken.packet.sequence);
        let before = spoken.before.filter(|before| track.arrivals.note(before.sequence));
        for packet in
            before.into_iter().map(|packet| Packet { repaired: true, ..packet }).chain([spoken.packet])
        {
            heard.extend(track.to.iter().map(|&to| Heard {
                to,
                sid: Arc::clone(&track.sid),
                packet: packet.clone(),
            }));
        }
        track.to.len()
    }
}

impl Track {
    fn say(&mut self, speech: Speech) -> (Spoken, usize) {
        let Speech { payload, time, .. } = speech;
        let packet = Packet { sequence: self.next, time, payload, repaired: false };
        self.next += 1;
        let before = self.red.then(|| self.before.replace(packet.clone())).flatten();
        let before = before.filter(|before| {
            time.saturating_sub(before.time) < RED_TICKS && before.payload.len() < RED_BYTES
        });
        let repeated = before.as_ref().map_or(0, |before| RED_HEADERS + before.payload.len());
        let len = HEADER + packet.payload.len() + repeated;
        let (cid, sid) = (Arc::clone(&self.cid), Arc::clone(&self.sid));
        (Spoken { cid, sid, packet, before }, len)
    }
}

/// Which of the last packets of a track have arrived, themselves or repeated.
#[derive(Debug, Default)]
struct Arrivals {
    /// The sequence number after the newest one.
    end: u64,
    /// The newest one is the lowest bit.
    bits: u64,
}

impl Arrivals {
    /// Notes a packet. Returns whether it is the first one with its sequence number. Of one that is far behind, that is
    /// not known, and it counts as one that has arrived.
    fn note(&mut self, sequence: u64) -> bool {
        if sequence >= self.end {
            let ahead = sequence + 1 - self.end;
            self.bits = u32::try_from(ahead).ok().and_then(|ahead| self.bits.checked_shl(ahead)).unwrap_or(0);
            self.end = sequence + 1;
        }
        let behind = u32::try_from(self.end - 1 - sequence).ok();
        let Some(bit) = behind.and_then(|behind| 1u64.checked_shl(behind)) else { return false };
        let new = self.bits & bit == 0;
        self.bits |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(red: bool) -> Track {
        let mut audio = Audio::new(Sound::default());
        let to = vec![MemberId(1), MemberId(2)];
        let route = AudioRoute { cid: "cid".into(), sid: "TR_1".into(), red, to: to.clone() };
        assert_eq!(audio.set(route.clone(), 0, 0), to);
        assert_eq!(audio.set(route, 0, 0), []);
        audio.tracks.remove(0)
    }

    fn speech(time: u64, bytes: usize) -> Speech {
        Speech { payload: vec![0; bytes].into(), time, start: false, level: 0 }
    }

    #[test]
    fn a_packet_repeats_the_one_before_it_if_its_fields_can_say_so() {
        let mut red = track(true);
        let steps = [
            (0, 100, None),
            (960, 1_100, Some(0)),
            (1_920, 100, None),
            (2_880, 100, Some(2)),
            (20_000, 100, None),
        ];
        for (time, bytes, repeats) in steps {
            let (spoken, len) = red.say(speech(time, bytes));
            assert_eq!(spoken.before.as_ref().map(|before| before.sequence), repeats, "{time}");
            assert_eq!(len, 12 + bytes + if repeats.is_some() { 105 } else { 0 });
        }
        let mut plain = track(false);
        assert!([0, 960].iter().all(|&time| plain.say(speech(time, 100)).0.before.is_none()));
    }

    #[test]
    fn what_is_lost_comes_with_the_next_packet_marked_as_repaired_and_once() {
        let mut track = track(true);
        let said: Vec<_> = (0..6).map(|index| track.say(speech(index * 960, 10)).0).collect();
        let mut audio = Audio { sound: Sound::default(), tracks: vec![track], published: 1 };
        let mut heard = Vec::new();
        // 1 and 2 are lost, and 3 and 4 have changed their places.
        for index in [0, 4, 3, 5, 5] {
            let spoken = said.get(index).cloned();
            assert_eq!(spoken.map(|spoken| audio.arrive(spoken, &mut heard)), Some(2));
        }
        let first: Vec<_> = heard
            .iter()
            .filter(|heard| heard.to == MemberId(1))
            .map(|heard| (heard.packet.sequence, heard.packet.repaired))
            .collect();
        let expected = [(0, false), (3, true), (4, false), (2, true), (3, false), (5, false), (5, false)];
        assert_eq!(first, expected);
        assert_eq!(heard.len(), 2 * expected.len());
    }

    #[test]
    fn packets_that_are_far_ahead_or_behind_are_no_trouble() {
        let mut arrivals = Arrivals::default();
        let noted: Vec<_> =
            [0, 0, 63, 0, 64, 1, 0, 1_000, u64::MAX - 1, 5].into_iter().map(|at| arrivals.note(at)).collect();
        assert_eq!(noted, [true, false, true, false, true, true, false, true, true, false]);
    }
}
