//! Two peers over a network in memory. The test moves the clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datatrack_media::Speech;
use datatrack_transport::peer::{
    ChannelKind, Datagram, LocalCandidate, MAX_MESSAGE_SIZE, Peer, PeerError, PeerEvent, Protocol, Sending,
    Sent,
};

/// The network's delay in one direction.
const DELAY: Duration = Duration::from_millis(10);

struct World {
    offering: Peer,
    answering: Peer,
    now: Instant,
    /// Datagrams in flight: when they arrive, and whether the answering peer gets them.
    network: VecDeque<(Instant, bool, Datagram)>,
    loss: f64,
    weather: Weather,
    random: fastrand::Rng,
    events: [Vec<PeerEvent>; 2],
    /// Data records on their way to the answering peer that were lost.
    lost: u64,
}

/// What the network lets through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weather {
    Everything,
    Nothing,
    /// Only what the answering peer sends passes.
    ToOffering,
    /// Only ICE checks pass. It looks like a peer that has lost its SCTP association.
    Checks,
}

impl Weather {
    fn passes(self, to_answering: bool, datagram: &Datagram) -> bool {
        match self {
            Self::ToOffering => !to_answering,
            Self::Everything => true,
            Self::Nothing => false,
            Self::Checks => datagram.contents[0] < 4,
        }
    }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl World {
    fn new(loss: f64) -> Self {
        let now = Instant::now();
        Self {
            offering: Peer::offering(now),
            answering: Peer::answering(now),
            now,
            network: VecDeque::new(),
            loss,
            weather: Weather::Everything,
            random: fastrand::Rng::with_seed(7),
            events: [Vec::new(), Vec::new()],
            lost: 0,
        }
    }

    fn with_addresses(loss: f64) -> Self {
        let mut world = Self::new(loss);
        world
            .offering
            .add_local_candidate(LocalCandidate::Host(Protocol::Udp, addr("10.0.0.1:1000")), world.now);
        world
            .answering
            .add_local_candidate(LocalCandidate::Host(Protocol::Udp, addr("10.0.0.2:2000")), world.now);
        world
    }

    fn connected(loss: f64) -> Self {
        let mut world = Self::with_addresses(loss);
        world.negotiate();
        world.run_until(|world| {
            world.offering.is_connected()
                && world.answering.is_connected()
                && ChannelKind::ALL.into_iter().all(|channel| world.answering.is_open(channel))
        });
        world
    }

    fn negotiate(&mut self) {
        let offer = self.offering.create_offer(self.now).unwrap();
        let answer = self.answering.handle_offer(&offer, self.now).unwrap();
        self.offering.handle_answer(&answer, self.now).unwrap();
    }

    /// Runs one millisecond.
    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        for (index, peer) in [&mut self.offering, &mut self.answering].into_iter().enumerate() {
            if peer.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
                peer.handle_timeout(self.now);
            }
            while let Some(datagram) = peer.poll_transmit() {
                if self.random.f64() >= self.loss && self.weather.passes(index == 0, &datagram) {
                    self.network.push_back((self.now + DELAY, index == 0, datagram));
                } else if index == 0 && datagram.contents[0] == 23 {
                    self.lost += 1;
                }
            }
            self.events[index].extend(std::iter::from_fn(|| peer.poll_event()));
        }
        while self.network.front().is_some_and(|(at, ..)| *at <= self.now) {
            let (_, to_answering, datagram) = self.network.pop_front().unwrap();
            let peer = if to_answering { &mut self.answering } else { &mut self.offering };
            let Datagram { protocol, local, remote, contents } = datagram;
            peer.handle_datagram(protocol, remote, local, &contents, self.now);
        }
    }

    fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..120_000 {
            if done(self) {
                return;
            }
            self.step();
        }
        panic!("nothing came of it in two minutes");
    }

    fn messages(&self, side: usize, channel: ChannelKind) -> Vec<&[u8]> {
        self.events[side]
            .iter()
            .filter_map(|event| match event {
                PeerEvent::Message { channel: on, data } if *on == channel => Some(data.as_slice()),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn messages_go_both_ways_by_the_channel_they_were_given_to() {
    let mut world = World::connected(0.0);
    for channel in ChannelKind::ALL {
        assert_eq!(world.offering.write(channel, channel.label().as_bytes(), world.now), Sent::Yes);
        assert_eq!(world.answering.write(channel, channel.label().as_bytes(), world.now), Sent::Yes);
    }
    world.offering.flush(world.now);
    world.answering.flush(world.now);
    world.run_until(|world| world.events.iter().all(|events| events.len() >= 4));
    for channel in ChannelKind::ALL {
        assert_eq!(world.messages(0, channel), [channel.label().as_bytes()]);
        assert_eq!(world.messages(1, channel), [channel.label().as_bytes()]);
    }
}

#[test]
fn a_bad_network_loses_nothing_of_reliable_and_repeats_nothing_of_data_tracks() {
    let mut world = World::connected(0.05);
    for number in 0..500_u32 {
        for channel in [ChannelKind::Reliable, ChannelKind::DataTrack] {
            assert_eq!(world.offering.write(channel, &number.to_be_bytes(), world.now), Sent::Yes);
        }
        world.offering.flush(world.now);
        world.step();
    }
    world.run_until(|world| world.messages(1, ChannelKind::Reliable).len() == 500);
    let sent: Vec<[u8; 4]> = (0..500_u32).map(u32::to_be_bytes).collect();
    assert_eq!(world.messages(1, ChannelKind::Reliable), sent);
    let mut packets = world.messages(1, ChannelKind::DataTrack);
    assert!((400..500).contains(&packets.len()), "{} of 500 at 5 % loss", packets.len());
    let came = packets.len();
    packets.sort_unstable();
    packets.dedup();
    assert_eq!(packets.len(), came);
    world.run_until(|world| world.offering.buffered(ChannelKind::DataTrack) == 0);
    assert_eq!(world.offering.acknowledged(ChannelKind::DataTrack), 2_000);
}

#[test]
fn datagrams_that_the_network_loses_are_counted() {
    let mut world = World::connected(0.0);
    assert_eq!(world.answering.stats().datagrams_lost, 0);
    world.loss = 0.05;
    for _ in 0..500 {
        assert_eq!(world.offering.write(ChannelKind::DataTrack, b"packet", world.now), Sent::Yes);
        world.offering.flush(world.now);
        world.step();
    }
    // Losses after the last record that arrived cannot be known.
    world.loss = 0.0;
    assert_eq!(world.offering.write(ChannelKind::DataTrack, b"last", world.now), Sent::Yes);
    world.offering.flush(world.now);
    world.run_until(|world| world.messages(1, ChannelKind::DataTrack).last() == Some(&&b"last"[..]));
    assert!(world.lost > 10, "{}", world.lost);
    assert_eq!(world.answering.stats().datagrams_lost, world.lost);
}

#[test]
fn a_message_is_as_large_as_the_server_takes_and_no_larger() {
    let mut world = World::connected(0.0);
    let largest = vec![7; MAX_MESSAGE_SIZE];
    assert_eq!(world.offering.write(ChannelKind::Reliable, &largest, world.now), Sent::Yes);
    assert_eq!(
        world.offering.write(ChannelKind::Reliable, &[0; MAX_MESSAGE_SIZE + 1], world.now),
        Sent::TooLarge
    );
    world.offering.flush(world.now);
    world.run_until(|world| !world.messages(1, ChannelKind::Reliable).is_empty());
    assert!(world.messages(1, ChannelKind::Reliable) == [largest.as_slice()]);
}

#[test]
fn channels_refuse_what_they_cannot_hold_and_take_it_later() {
    let mut world = World::connected(0.0);
    let packet = vec![0; 16_000];
    let mut taken = 0;
    while world.offering.write(ChannelKind::DataTrack, &packet, world.now) == Sent::Yes {
        taken += packet.len();
    }
    assert!(world.offering.buffered(ChannelKind::DataTrack) >= taken);
    world.offering.flush(world.now);
    world.run_until(|world| world.offering.buffered(ChannelKind::DataTrack) <= taken - packet.len());
    assert_eq!(world.offering.write(ChannelKind::DataTrack, &packet, world.now), Sent::Yes);
}

#[test]
fn a_restart_of_ice_keeps_the_channels() {
    let mut world = World::connected(0.0);
    world.run_until(|world| world.events[0].contains(&PeerEvent::Connected));
    world.events[0].clear();
    world.negotiate();
    world.run_until(|world| world.events[0].contains(&PeerEvent::Connected));
    let checking = world.events[0].iter().position(|event| *event == PeerEvent::Checking);
    let connected = world.events[0].iter().position(|event| *event == PeerEvent::Connected);
    assert!(checking.is_some() && checking < connected, "{:?}", world.events[0]);
    assert_eq!(world.offering.write(ChannelKind::Reliable, b"still here", world.now), Sent::Yes);
    world.offering.flush(world.now);
    world.run_until(|world| world.messages(1, ChannelKind::Reliable) == [b"still here"]);
}

#[test]
fn the_other_side_learns_of_a_goodbye() {
    let mut world = World::connected(0.0);
    world.offering.close(world.now);
    world.run_until(|world| world.events[1].contains(&PeerEvent::Closed));
    assert_eq!(world.offering.create_offer(world.now), Err(PeerError::Closed));
    assert_eq!(world.offering.write(ChannelKind::Reliable, b"late", world.now), Sent::NotOpen);
    assert_eq!(world.offering.poll_timeout(), None);
}

impl World {
    /// Writes a message every 100 ms for `length`. Returns when the offering side ended, if it did.
    fn write_for(&mut self, length: Duration) -> Option<Duration> {
        let start = self.now;
        while self.now < start + length {
            self.offering.write(ChannelKind::DataTrack, &[1; 1_000], self.now);
            self.offering.flush(self.now);
            for _ in 0..100 {
                self.step();
            }
            if self.events[0].contains(&PeerEvent::Closed) {
                return Some(self.now - start);
            }
        }
        None
    }
}

#[test]
fn a_side_that_has_forgotten_the_association_is_noticed() {
    for channel in ChannelKind::ALL {
        let mut world = World::connected(0.0);
        world.write_for(Duration::from_secs(2));
        world.run_until(|world| world.offering.buffered(ChannelKind::DataTrack) == 0);
        world.weather = Weather::Checks;
        let start = world.now;
        assert_eq!(world.offering.write(channel, b"are you there", world.now), Sent::Yes);
        world.offering.flush(world.now);
        world.run_until(|world| world.events[0].contains(&PeerEvent::Closed));
        let took = world.now - start;
        assert!((Duration::from_secs(6)..Duration::from_secs(20)).contains(&took), "{channel:?}: {took:?}");
        assert!(!world.events[0].contains(&PeerEvent::Disconnected), "ICE was fine");
    }
}

#[test]
fn a_restart_asks_whether_the_association_is_still_there() {
    for forgotten in [false, true] {
        let mut world = World::connected(0.0);
        world.run_until(|world| world.events[0].contains(&PeerEvent::Connected));
        world.negotiate();
        world.weather = if forgotten { Weather::Checks } else { Weather::Everything };
        let start = world.now;
        world.run_until(|world| world.now > start + Duration::from_secs(25));
        assert_eq!(world.events[0].contains(&PeerEvent::Closed), forgotten);
        assert_eq!(world.messages(1, ChannelKind::Lossy).len(), usize::from(!forgotten));
    }
}

#[test]
fn one_that_is_asked_nothing_need_not_answer() {
    let mut world = World::connected(0.0);
    world.write_for(Duration::from_secs(2));
    world.run_until(|world| world.offering.buffered(ChannelKind::DataTrack) == 0);
    world.answering.write(ChannelKind::Reliable, b"acknowledged by the offering side", world.now);
    world.answering.flush(world.now);
    world.run_until(|world| world.messages(0, ChannelKind::Reliable).len() == 1);
    let start = world.now;
    world.run_until(|world| world.now > start + Duration::from_secs(1));
    world.weather = Weather::Checks;
    world.run_until(|world| world.now > start + Duration::from_secs(60));
    assert!(!world.events[0].contains(&PeerEvent::Closed));
}

#[test]
fn a_network_that_stands_still_ends_nothing() {
    for seconds in [1, 3, 5, 8, 10, 15] {
        for loss in [0.0, 0.05] {
            let mut world = World::connected(loss);
            world.write_for(Duration::from_secs(3));
            world.weather = Weather::Nothing;
            assert_eq!(world.write_for(Duration::from_secs(seconds)), None);
            world.weather = Weather::Everything;
            let before = world.messages(1, ChannelKind::DataTrack).len();
            assert_eq!(world.write_for(Duration::from_secs(20)), None, "{seconds} s");
            let came = world.messages(1, ChannelKind::DataTrack).len() - before;
            assert!(came > 100, "{came} of 200 after {seconds} s without a network and with {loss} loss");
            assert!(!world.events[0].contains(&PeerEvent::Disconnected), "{seconds} s");
        }
    }
}

#[test]
fn candidates_may_come_before_the_description() {
    let mut world = World::new(0.0);
    world.offering.add_local_candidate(LocalCandidate::Host(Protocol::Udp, addr("10.0.0.1:1000")), world.now);
    let candidate = "candidate:1 1 udp 2130706431 10.0.0.1 1000 typ host";
    world.answering.add_remote_candidate(candidate, world.now).unwrap();
    world.negotiate();
    let told = std::iter::from_fn(|| world.answering.poll_event()).filter(
        |event| matches!(event, PeerEvent::RemoteCandidate(found) if found.addr == addr("10.0.0.1:1000")),
    );
    // Once from the description, once by trickle. The owner still binds one socket only.
    assert_eq!(told.count(), 2);
}

#[test]
fn nonsense_is_refused_and_ends_nothing() {
    let mut world = World::connected(0.0);
    for sdp in ["", "v=0", "candidate:1", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"] {
        assert_eq!(world.answering.handle_offer(sdp, world.now), Err(PeerError::BadDescription), "{sdp}");
    }
    assert_eq!(world.offering.handle_answer("", world.now), Err(PeerError::BadDescription));
    for candidate in ["nonsense", "candidate:", "candidate:1 1 udp 1 host.local 1000 typ host"] {
        let refused = world.offering.add_remote_candidate(candidate, world.now);
        assert_eq!(refused, Err(PeerError::BadCandidate), "{candidate}");
    }
    let [local, remote] = [addr("10.0.0.1:1000"), addr("10.0.0.2:2000")];
    let mut random = fastrand::Rng::with_seed(1);
    for len in 0..200 {
        let garbage: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        world.offering.handle_datagram(Protocol::Udp, local, remote, &garbage, world.now);
    }
    assert_eq!(world.offering.write(ChannelKind::Reliable, b"alive", world.now), Sent::Yes);
    world.offering.flush(world.now);
    world.run_until(|world| world.messages(1, ChannelKind::Reliable) == [b"alive"]);
}

#[test]
fn a_dialled_connection_is_told_when_the_other_side_has_answered_by_it() {
    let [dialled, server] = [addr("10.0.0.1:1000"), addr("10.0.0.2:2000")];
    let other = addr("10.0.0.1:1001");
    let told = |events: &[PeerEvent]| {
        events.iter().filter(|event| matches!(event, PeerEvent::LocalCandidate(_))).count()
    };
    let mut world = World::new(0.0);
    world.answering.add_local_candidate(LocalCandidate::Host(Protocol::Tcp, server), world.now);
    world.negotiate();
    let passive = "candidate:1 1 tcp 1 10.0.0.2 2000 typ host tcptype passive";
    world.offering.add_remote_candidate(passive, world.now).unwrap();
    // A host listens there, and answers whatever it likes.
    for local in [dialled, other] {
        world.offering.add_local_candidate(LocalCandidate::Host(Protocol::Tcp, local), world.now);
    }
    for contents in [&b"220 mail.example.org ESMTP\r\n"[..], &[0, 1, 0, 0], &[22; 40], &[0; 20]] {
        world.offering.handle_datagram(Protocol::Tcp, dialled, server, contents, world.now);
    }
    while let Some(event) = world.offering.poll_event() {
        world.events[0].push(event);
    }
    assert_eq!(told(&world.events[0]), 0);
    world.offering.remove_local_candidate(LocalCandidate::Host(Protocol::Tcp, other), world.now);
    world.run_until(|world| world.offering.is_connected());
    world.step();
    assert_eq!(told(&world.events[0]), 1);
    // A later description does not name it either.
    let offer = world.offering.create_offer(world.now).unwrap();
    assert!(!offer.contains("tcptype") && offer.contains("a=ice-ufrag:"), "{offer}");
}

const fn is_of_path(event: &PeerEvent) -> bool {
    matches!(
        event,
        PeerEvent::PathSuspected | PeerEvent::PathDead | PeerEvent::PathAlive | PeerEvent::Disconnected
    )
}

impl World {
    fn run_for(&mut self, length: Duration) {
        let until = self.now + length;
        while self.now < until {
            self.step();
        }
    }

    /// Runs until the offering peer says that of its path. Returns how long it took.
    fn until_path(&mut self, wanted: &PeerEvent) -> Duration {
        let start = self.now;
        self.run_until(|world| world.events[0].iter().any(|event| event == wanted));
        self.now - start
    }
}

#[test]
fn a_path_that_dies_is_suspected_after_a_second_and_a_half_and_dead_a_second_later() {
    for idle in [0, 130, 260, 390, 5_000] {
        let mut world = World::connected(0.0);
        world.run_for(Duration::from_millis(20_000 + idle));
        world.weather = Weather::Nothing;
        let suspected = world.until_path(&PeerEvent::PathSuspected);
        let dead = suspected + world.until_path(&PeerEvent::PathDead);
        // The last answer may have come up to 0.4 s before.
        let within = |time: Duration, from, to| (from..=to).contains(&time.as_millis());
        assert!(within(suspected, 1_050, 1_600) && within(dead, 2_050, 2_600), "{suspected:?} {dead:?}");
        world.weather = Weather::Everything;
        world.until_path(&PeerEvent::PathAlive);
        assert!(!world.events[0].contains(&PeerEvent::Disconnected));
    }
}

#[test]
fn a_path_whose_other_direction_works_is_dead_too() {
    let mut world = World::connected(0.0);
    world.run_for(Duration::from_secs(5));
    world.weather = Weather::ToOffering;
    let dead = world.until_path(&PeerEvent::PathDead);
    assert!(dead <= Duration::from_millis(2_600), "{dead:?}");
}

#[test]
fn an_idle_path_that_loses_one_datagram_in_twenty_is_never_dead() {
    let mut world = World::connected(0.05);
    world.run_for(Duration::from_secs(3_600));
    assert!(
        !world
            .events
            .iter()
            .flatten()
            .any(|event| matches!(event, PeerEvent::PathDead | PeerEvent::Disconnected | PeerEvent::Closed))
    );
}

/// The process was stopped, the machine slept, or the clock stepped: no datagram is taken for a while, and those that
/// came meanwhile may be lost.
#[test]
fn time_that_the_owner_missed_is_no_silence() {
    for (missed, lost) in [(1_300, true), (3_000, false), (3_000, true), (60_000, true), (86_400_000, true)] {
        let mut world = World::connected(0.0);
        world.run_for(Duration::from_millis(10_050));
        world.now += Duration::from_millis(missed);
        if lost {
            world.network.clear();
        }
        world.run_for(Duration::from_secs(10));
        assert!(!world.events[0].iter().any(is_of_path), "{missed} ms, {lost}: {:?}", world.events[0]);
    }
}

fn count(sdp: &str, line: &str) -> usize {
    sdp.lines().filter(|each| each.starts_with(line)).count()
}

fn ufrag(sdp: &str) -> Option<&str> {
    sdp.lines().find(|line| line.starts_with("a=ice-ufrag:"))
}

impl World {
    /// Agrees on so many sections for audio. Returns the offer.
    fn agree(&mut self, sections: usize) -> String {
        self.offering.set_audio_sections(sections);
        let offer = self.offering.renegotiate(self.now).unwrap().unwrap();
        let answer = self.answering.handle_offer(&offer, self.now).unwrap();
        self.offering.handle_answer(&answer, self.now).unwrap();
        offer
    }
}

#[test]
fn sections_for_audio_are_agreed_on_without_a_restart_of_ice() {
    let mut world = World::new(0.0);
    let first = world.offering.create_offer(world.now).unwrap();
    assert_eq!((count(&first, "m="), count(&first, "m=application")), (1, 1));
    world = World::connected(0.0);
    world.run_until(|world| world.events[0].contains(&PeerEvent::Connected));
    world.events.iter_mut().for_each(Vec::clear);
    let mut known = None;
    for sections in [1, 1, 3, 3, 3] {
        let offer = world.agree(sections);
        assert_eq!((count(&offer, "m=audio"), count(&offer, "a=recvonly")), (sections, sections), "{offer}");
        let known = known.get_or_insert_with(|| ufrag(&offer).map(str::to_owned));
        assert_eq!(ufrag(&offer), known.as_deref());
        assert_eq!(world.offering.write(ChannelKind::Reliable, b"still here", world.now), Sent::Yes);
        world.offering.flush(world.now);
        world.run_until(|world| world.messages(1, ChannelKind::Reliable) == [b"still here"]);
        let restarts = world.events.iter().flatten().filter(|event| **event == PeerEvent::Checking);
        assert_eq!(restarts.count(), 0);
        world.events.iter_mut().for_each(Vec::clear);
    }
}

#[test]
fn without_sections_there_is_nothing_to_agree_on() {
    let mut world = World::connected(0.0);
    assert_eq!(world.offering.renegotiate(world.now), Ok(None));
    // Fewer than there are changes nothing.
    world.agree(2);
    assert_eq!(count(&world.agree(0), "m=audio"), 2);
}

#[test]
fn a_restart_of_ice_carries_the_sections_and_may_replace_an_offer_without_new_ones() {
    let mut world = World::connected(0.0);
    world.agree(1);
    let replaced = world.offering.renegotiate(world.now).unwrap().unwrap();
    let stale = world.answering.handle_offer(&replaced, world.now).unwrap();
    world.offering.set_audio_sections(3);
    let restart = world.offering.create_offer(world.now).unwrap();
    assert_eq!((count(&replaced, "m=audio"), count(&restart, "m=audio")), (1, 3));
    assert_ne!(ufrag(&replaced), ufrag(&restart));
    let answer = world.answering.handle_offer(&restart, world.now).unwrap();
    world.offering.handle_answer(&answer, world.now).unwrap();
    assert_eq!(world.offering.handle_answer(&stale, world.now), Err(PeerError::UnexpectedAnswer));
    world.run_until(|world| world.offering.is_connected() && world.answering.is_connected());
    assert_eq!(count(&world.agree(3), "m=audio"), 3);
}

#[test]
fn the_most_sections_fit_into_a_description() {
    let mut world = World::connected(0.0);
    let offer = world.agree(datatrack_media::MAX_AUDIO_SECTIONS);
    assert_eq!(count(&offer, "m=audio"), datatrack_media::MAX_AUDIO_SECTIONS);
}

#[test]
fn an_offer_of_video_is_answered_and_harms_nothing() {
    let mut world = World::connected(0.0);
    world.offering.set_audio_sections(1);
    let offer = world.offering.renegotiate(world.now).unwrap().unwrap().replace("m=audio", "m=video");
    let answer = world.answering.handle_offer(&offer, world.now);
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(world.offering.write(ChannelKind::Reliable, b"still here", world.now), Sent::Yes);
    world.offering.flush(world.now);
    world.run_until(|world| world.messages(1, ChannelKind::Reliable) == [b"still here"]);
}

fn sending(cid: &str) -> Sending {
    Sending { cid: cid.into(), stream: "stream".into(), red: false }
}

fn speech(time: u64) -> Speech {
    Speech { payload: Arc::from([1u8, 2, 3]), time, start: time == 0, level: 20 }
}

impl World {
    /// Agrees on these tracks of the offering side. Returns the offer.
    fn agree_sending(&mut self, cids: &[&str]) -> String {
        self.offering.set_sending(cids.iter().map(|cid| sending(cid)).collect());
        let offer = self.offering.renegotiate(self.now).unwrap().unwrap();
        let answer = self.answering.handle_offer(&offer, self.now).unwrap();
        self.offering.handle_answer(&answer, self.now).unwrap();
        offer
    }

    /// The times of the packets that the answering side received.
    fn heard(&self) -> Vec<u64> {
        let time = |event: &PeerEvent| match event {
            PeerEvent::Audio { packet, .. } => Some(packet.time),
            _ => None,
        };
        self.events[1].iter().filter_map(time).collect()
    }
}

#[test]
fn a_track_has_a_section_of_its_own_until_it_ends() {
    let mut world = World::connected(0.0);
    world.agree(1);
    assert!(!world.offering.write_audio("one", speech(0), world.now));
    assert_eq!(world.offering.set_sending(vec![sending("one")]), 1);
    let offer = world.agree_sending(&["one"]);
    assert_eq!((count(&offer, "a=sendonly"), count(&offer, "a=recvonly")), (1, 1), "{offer}");
    assert_eq!(count(&offer, "a=msid:stream one"), 1, "{offer}");
    assert_eq!(world.offering.set_sending(vec![sending("one"), sending("two")]), 1);
    let offer = world.agree_sending(&["one", "two"]);
    assert_eq!(count(&offer, "a=sendonly"), 2);
    assert!(world.offering.is_agreed("two") && !world.offering.is_agreed("three"));
    world.run_for(Duration::from_secs(1));
    for time in 0..5 {
        assert!(world.offering.write_audio("two", speech(960 * time), world.now));
        world.run_for(Duration::from_millis(20));
    }
    assert_eq!(world.heard(), [0, 960, 1_920, 2_880, 3_840]);
    // Its section stays, and nothing is sent in it.
    let offer = world.agree_sending(&["one"]);
    assert_eq!((count(&offer, "a=sendonly"), count(&offer, "a=inactive")), (1, 1), "{offer}");
    assert!(!world.offering.write_audio("two", speech(9_600), world.now));
    assert!(world.offering.write_audio("one", speech(9_600), world.now));
    // After a restart of ICE it is as before.
    let restart = world.offering.create_offer(world.now).unwrap();
    assert_eq!((count(&restart, "a=sendonly"), count(&restart, "a=inactive")), (1, 1), "{restart}");
}

/// The SSRC of the only section for sending.
fn ssrc(offer: &str) -> &str {
    let mut lines = offer.lines().filter_map(|line| line.strip_prefix("a=ssrc:"));
    lines.next().and_then(|line| line.split(' ').next()).unwrap()
}

#[test]
fn a_track_gets_the_section_of_one_that_has_ended() {
    let mut world = World::connected(0.0);
    let mut before = ssrc(&world.agree_sending(&["one"])).to_owned();
    world.run_for(Duration::from_secs(1));
    for round in 0..100 {
        let offer = world.agree_sending(&[]);
        assert_eq!((count(&offer, "m=audio"), count(&offer, "a=inactive")), (1, 1), "{offer}");
        let track = format!("track-{round}");
        assert_eq!(world.offering.set_sending(vec![sending(&track)]), 0);
        let offer = world.agree_sending(&[&track]);
        assert_eq!((count(&offer, "m=audio"), count(&offer, "a=sendonly")), (1, 1), "{offer}");
        let names = |name: &str| offer.matches(name).count();
        let now = names(&format!("msid:stream {track}\r\n"));
        assert_eq!((names("msid:stream "), now), (2, 2), "{offer}");
        assert_ne!(ssrc(&offer), before);
        before = ssrc(&offer).to_owned();
        let heard = world.heard().len();
        for time in 0..3 {
            assert!(world.offering.write_audio(&track, speech(960 * time), world.now));
            world.run_for(Duration::from_millis(20));
        }
        world.run_for(Duration::from_millis(100));
        assert_eq!(world.heard().len(), heard + 3);
    }
    // Of the other side's streams, only those that there are count: reports name each of them.
    let sent = world.answering.stats().bytes_sent;
    world.run_for(Duration::from_secs(10));
    let idle = world.answering.stats().bytes_sent - sent;
    assert!(idle < 5_000, "{idle} bytes in 10 s");
    // Their times are far from those of the track before.
    let heard = world.heard();
    let after: Vec<_> = heard.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(after.iter().all(|&ticks| ticks == 960 || ticks > 1 << 14), "{after:?}");
}

#[test]
fn reports_on_many_streams_fit_into_datagrams() {
    let mut world = World::connected(0.0);
    for streams in [20, 50, 100] {
        let tracks: Vec<_> = (0..streams).map(|track| format!("track-{track}")).collect();
        let tracks: Vec<_> = tracks.iter().map(String::as_str).collect();
        world.agree_sending(&tracks);
        world.run_for(Duration::from_secs(1));
        for time in 0..500 {
            for track in &tracks {
                assert!(world.offering.write_audio(track, speech(960 * time), world.now));
            }
            world.run_for(Duration::from_millis(20));
        }
    }
    assert_eq!(world.offering.write(ChannelKind::Reliable, b"still here", world.now), Sent::Yes);
}

#[test]
fn a_section_is_free_when_the_other_side_knows_that_its_track_has_ended() {
    let mut world = World::connected(0.0);
    world.agree_sending(&["one"]);
    // In one offer: the other side has not heard of the end.
    let offer = world.agree_sending(&["two"]);
    assert_eq!((count(&offer, "m=audio"), count(&offer, "a=inactive")), (2, 1), "{offer}");
    // The server's preference for RED is of the first track.
    world.offering.set_sending(vec![sending("two"), Sending { red: true, ..sending("three") }]);
    let offer = world.offering.renegotiate(world.now).unwrap().unwrap();
    assert_eq!((count(&offer, "m=audio"), count(&offer, "a=inactive")), (3, 1), "{offer}");
    let answer = world.answering.handle_offer(&offer, world.now).unwrap();
    world.offering.handle_answer(&answer, world.now).unwrap();
    let offer = world.agree_sending(&["two", "four"]);
    assert_eq!((count(&offer, "m=audio"), count(&offer, "a=sendonly")), (3, 2), "{offer}");
}

#[test]
fn an_offer_in_the_place_of_one_that_uses_a_section_again_has_the_same_track_in_it() {
    let mut world = World::connected(0.0);
    world.agree_sending(&["one"]);
    world.agree_sending(&[]);
    world.offering.set_sending(vec![sending("two")]);
    let lost = world.offering.renegotiate(world.now).unwrap().unwrap();
    assert!(!world.offering.is_agreed("two"));
    let restart = world.offering.create_offer(world.now).unwrap();
    assert_eq!(ssrc(&restart), ssrc(&lost));
    assert_eq!(count(&restart, "a=msid:stream two"), 1, "{restart}");
    let answer = world.answering.handle_offer(&restart, world.now).unwrap();
    world.offering.handle_answer(&answer, world.now).unwrap();
    assert!(world.offering.is_agreed("two"));
}

#[test]
fn a_track_without_red_has_the_codec_itself_first() {
    let mut world = World::connected(0.0);
    let track = |cid: &str, red| Sending { red, ..sending(cid) };
    world.offering.set_sending(vec![track("one", true), track("two", false)]);
    let offer = world.offering.renegotiate(world.now).unwrap().unwrap();
    let lines = |sdp: &str, end: &str| {
        sdp.lines().filter(|line| line.starts_with("m=audio") && line.ends_with(end)).count()
    };
    assert_eq!((lines(&offer, " 63 111"), lines(&offer, " 111 63")), (1, 1), "{offer}");
    let answer = world.answering.handle_offer(&offer, world.now).unwrap();
    world.offering.handle_answer(&answer, world.now).unwrap();
    let again = world.offering.create_offer(world.now).unwrap();
    assert_eq!((lines(&again, " 63 111"), lines(&again, " 111 63")), (1, 1), "{again}");
}

#[test]
fn a_name_in_a_description_is_one_word() {
    let mut world = World::connected(0.0);
    for stream in ["a b\r\na=evil:1", "\u{fc}"] {
        let of = |cid: &str| Sending { cid: cid.into(), stream: stream.into(), red: false };
        for cid in ["one", "two"] {
            world.offering.set_sending(vec![of(cid)]);
            let offer = world.offering.renegotiate(world.now).unwrap().unwrap();
            let answer = world.answering.handle_offer(&offer, world.now).unwrap();
            world.offering.handle_answer(&answer, world.now).unwrap();
            let name = if stream.starts_with('a') { "abaevil1" } else { "-" };
            assert_eq!(offer.matches(&format!("a=msid:{name} {cid}\r\n")).count(), 1, "{offer}");
            assert_eq!(count(&offer, "a=evil"), 0);
            world.agree_sending(&[]);
        }
    }
}

#[test]
fn a_track_that_the_other_side_refused_once_is_offered_for_sending_again() {
    let mut world = World::connected(0.0);
    world.offering.set_sending(vec![sending("one")]);
    let offer = world.offering.renegotiate(world.now).unwrap().unwrap();
    let answer = world.answering.handle_offer(&offer, world.now).unwrap();
    let refused = answer.replace("a=recvonly", "a=inactive");
    assert_ne!(answer, refused);
    world.offering.handle_answer(&refused, world.now).unwrap();
    assert!(!world.offering.write_audio("one", speech(0), world.now));
    let offer = world.agree_sending(&["one"]);
    assert_eq!((count(&offer, "m=audio"), count(&offer, "a=sendonly")), (1, 1), "{offer}");
    assert!(world.offering.write_audio("one", speech(0), world.now));
}

#[test]
fn a_track_in_the_first_offer_needs_no_other_one() {
    let mut world = World::with_addresses(0.0);
    world.offering.set_sending(vec![sending("one")]);
    let offer = world.offering.create_offer(world.now).unwrap();
    assert_eq!((count(&offer, "m=application"), count(&offer, "a=sendonly")), (1, 1), "{offer}");
    let answer = world.answering.handle_offer(&offer, world.now).unwrap();
    world.offering.handle_answer(&answer, world.now).unwrap();
    world.run_until(|world| world.offering.is_connected() && world.answering.is_connected());
    assert!(world.offering.write_audio("one", speech(0), world.now));
    world.run_until(|world| world.heard() == [0]);
}
