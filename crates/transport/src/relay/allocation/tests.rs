#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turn_client_proto::stun::types::attribute::{ErrorCode, Nonce, Realm};
use turn_client_proto::stun::types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageWriteVec,
};
use turn_client_proto::stun::types::prelude::{MessageWrite as _, MessageWriteExt as _};
use turn_client_proto::types::attribute::{Lifetime, RequestedAddressFamily, XorRelayedAddress};
use turn_client_proto::types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};

use super::super::RelayTransport;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const RELAYED: ([u8; 4], u16) = ([198, 51, 100, 7], 50_000);
const RELAYED_V6: ([u16; 8], u16) = ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 50_000);

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 7_882))
}

fn address_v6(last: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 1, last], 7_882))
}

fn requested_family(request: &Message<'_>) -> AddressFamily {
    request.attribute::<RequestedAddressFamily>().map_or(AddressFamily::IPV4, |requested| requested.family())
}

fn relay() -> RelayServer {
    RelayServer {
        proxy: None,
        host: "192.0.2.1".to_owned(),
        port: 3_478,
        transport: RelayTransport::Udp,
        username: "user".to_owned(),
        credential: "secret".to_owned(),
    }
}

/// What a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// As it should.
    Well,
    /// Nothing.
    Nothing,
    /// An error that is not signed.
    Error(u16),
}

/// An allocation, the server that it talks to, and their clock.
struct World {
    allocation: Allocation,
    now: Instant,
    allocate: Answer,
    bind: Answer,
    refresh: Answer,
    realm: &'static str,
    /// The families of which the server has relayed addresses.
    families: &'static [AddressFamily],
    lifetime: u32,
    /// Requests that the server has got.
    requests: usize,
    events: Vec<AllocationEvent>,
}

impl World {
    fn new() -> Self {
        Self::towards(&[])
    }

    fn towards(peers: &[SocketAddr]) -> Self {
        let now = Instant::now();
        Self {
            allocation: Allocation::new(&relay(), address(1), address(2), peers, now + 10 * SECOND, now),
            now,
            allocate: Answer::Well,
            bind: Answer::Well,
            refresh: Answer::Well,
            realm: "realm",
            families: &[AddressFamily::IPV4, AddressFamily::IPV6],
            lifetime: 600,
            requests: 0,
            events: Vec::new(),
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.allocation.handle_timeout(self.now);
            while let Some(message) = self.allocation.poll_message() {
                self.requests += 1;
                if let Some(reply) = self.answer(&message) {
                    self.allocation.handle_message(&reply, self.now, |_, _, _| {});
                }
            }
            self.events.extend(std::iter::from_fn(|| self.allocation.poll_event()));
            match self.allocation.poll_timeout() {
                Some(due) if due <= end => self.now = due.max(self.now + Duration::from_millis(1)),
                _ => break,
            }
        }
        self.now = end;
    }

    fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let request = Message::from_bytes(message).unwrap();
        let answer = match request.method() {
            ALLOCATE => self.allocate,
            CHANNEL_BIND | CREATE_PERMISSION => self.bind,
            REFRESH => self.refresh,
            method => panic!("{method:?}"),
        };
        let signed = super::super::frames::request(message).unwrap().signed;
        match answer {
            Answer::Nothing => None,
            Answer::Well if !signed => Some(self.error(&request, 401)),
            Answer::Error(code) => Some(self.error(&request, if signed { code } else { 401 })),
            Answer::Well => {
                let mut reply = Message::builder_success(&request, MessageWriteVec::new());
                if request.method() == ALLOCATE {
                    let family = requested_family(&request);
                    if !self.families.contains(&family) {
                        return Some(self.error(&request, 440));
                    }
                    let address =
                        if family == AddressFamily::IPV4 { RELAYED.into() } else { RELAYED_V6.into() };
                    let relayed = XorRelayedAddress::new(address, reply.transaction_id());
                    reply.add_attribute(&relayed).unwrap();
                }
                if request.method() == ALLOCATE || request.method() == REFRESH {
                    reply.add_attribute(&Lifetime::new(self.lifetime)).unwrap();
                }
                let key = LongTermKeyCredentials::new("user".into(), "secret".into(), self.realm.into());
                reply.add_message_integrity(&key.into(), IntegrityAlgorithm::Sha1).unwrap();
                Some(reply.finish())
            }
        }
    }

    fn error(&self, request: &Message<'_>, code: u16) -> Vec<u8> {
        let mut reply = Message::builder_error(request, MessageWriteVec::new());
        reply.add_attribute(&Realm::new(self.realm).unwrap()).unwrap();
        reply.add_attribute(&Nonce::new("nonce").unwrap()).unwrap();
        reply.add_attribute(&ErrorCode::builder(code).build().unwrap()).unwrap();
        reply.finish()
    }
}

#[test]
fn an_allocation_is_usable_once_a_peer_is_let_through_and_stays_so() {
    let mut world = World::new();
    world.allocation.permit(address(9), world.now);
    world.run(SECOND);
    assert_eq!(world.events, [AllocationEvent::Usable(RELAYED.into())]);
    let wrapped = world.allocation.wrap(address(9), b"data", world.now).unwrap();
    assert_eq!(wrapped, [&[0x40, 0, 0, 4][..], b"data"].concat());
    assert_eq!(world.allocation.wrap(address(8), b"data", world.now), None);
    let mut got = Vec::new();
    world.allocation.handle_message(&wrapped, world.now, |local, remote, data| {
        got.push((local, remote, data.to_vec()));
    });
    assert_eq!(got, [(RELAYED.into(), address(9), b"data".to_vec())]);
    // Allocation, permission and channel are refreshed.
    world.run(7_200 * SECOND);
    assert_eq!(world.events.len(), 1);
    assert!(world.allocation.wrap(address(9), b"data", world.now).is_some());
    assert!((10..200).contains(&world.requests), "{}", world.requests);
}

#[test]
fn errors_are_told_apart_and_end_it_at_once() {
    for (allocate, bind, expected) in [
        (Answer::Error(401), Answer::Well, RelayError::Unauthorized),
        (Answer::Error(400), Answer::Well, RelayError::Unauthorized),
        (Answer::Error(441), Answer::Well, RelayError::Unauthorized),
        (Answer::Error(300), Answer::Well, RelayError::Refused(300)),
        (Answer::Error(486), Answer::Well, RelayError::Refused(486)),
        (Answer::Well, Answer::Error(401), RelayError::Forbidden),
        (Answer::Well, Answer::Error(403), RelayError::Forbidden),
        (Answer::Well, Answer::Error(508), RelayError::Refused(508)),
    ] {
        let mut world = World { allocate, bind, ..World::new() };
        world.allocation.permit(address(9), world.now);
        world.run(SECOND);
        assert_eq!(world.events, [AllocationEvent::Failed(expected)]);
        assert!(world.requests <= 4, "{}", world.requests);
    }
}

#[test]
fn a_stale_nonce_without_end_is_bounded() {
    let mut world = World { allocate: Answer::Error(438), ..World::new() };
    world.allocation.permit(address(9), world.now);
    world.run(120 * SECOND);
    assert_eq!(world.events, [AllocationEvent::Failed(RelayError::Unreachable)]);
    assert!(world.requests < 100, "{}", world.requests);
}

#[test]
fn silence_ends_it_whenever_it_begins() {
    for (allocate, bind) in [(Answer::Nothing, Answer::Well), (Answer::Well, Answer::Nothing)] {
        let mut world = World { allocate, bind, ..World::new() };
        world.allocation.permit(address(9), world.now);
        world.run(10 * SECOND);
        assert_eq!(world.events, [AllocationEvent::Failed(RelayError::Unreachable)], "{allocate:?} {bind:?}");
        assert!(world.requests < 20, "{}", world.requests);
    }
    let mut world = World { refresh: Answer::Nothing, bind: Answer::Well, ..World::new() };
    world.allocation.permit(address(9), world.now);
    world.run(1_200 * SECOND);
    let ends = [AllocationEvent::Usable(RELAYED.into()), AllocationEvent::Failed(RelayError::Unreachable)];
    assert_eq!(world.events, ends);
}

/// The credentials have expired meanwhile, or the server has forgotten the allocation.
#[test]
fn a_refresh_that_is_refused_ends_it() {
    for code in [400, 401, 437, 438, 441, 508] {
        let mut world = World { refresh: Answer::Error(code), ..World::new() };
        world.allocation.permit(address(9), world.now);
        world.run(1_200 * SECOND);
        let ends =
            [AllocationEvent::Usable(RELAYED.into()), AllocationEvent::Failed(RelayError::Unreachable)];
        assert_eq!(world.events, ends, "{code}");
        assert!(world.requests < 500, "{code}: {}", world.requests);
    }
}

#[test]
fn one_peer_that_is_let_through_is_enough() {
    let mut world = World { bind: Answer::Error(403), ..World::new() };
    world.run(SECOND);
    assert_eq!(world.events, []);
    world.bind = Answer::Well;
    world.allocation.permit(address(9), world.now);
    world.run(SECOND);
    world.bind = Answer::Error(403);
    world.allocation.permit(address(10), world.now);
    world.run(SECOND);
    assert_eq!(world.events, [AllocationEvent::Usable(RELAYED.into())]);
}

#[test]
fn peers_and_requests_are_bounded() {
    let mut world = World::new();
    for last in 0..=255 {
        world.allocation.permit(address(last), world.now);
    }
    assert_eq!(world.allocation.peers.len(), MAX_PEERS);
    world.run(60 * SECOND);
    let permitted = world.allocation.peers.iter().filter(|(_, state)| *state == Peer::Permitted);
    assert_eq!(permitted.count(), MAX_PEERS);
    for number in 0..1_000u16 {
        let [high, low] = number.to_be_bytes();
        let mut request = vec![0, 9, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        request.extend([high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        world.allocation.push_message(request);
    }
    assert_eq!(world.allocation.requests.len(), MAX_REQUESTS);
}

#[test]
fn it_is_given_back() {
    let mut world = World::new();
    world.allocation.permit(address(9), world.now);
    world.run(SECOND);
    world.allocation.release(world.now);
    let message = world.allocation.poll_message().unwrap();
    let request = Message::from_bytes(&message).unwrap();
    assert_eq!((request.method(), request.attribute::<Lifetime>().unwrap().seconds()), (REFRESH, 0));
}

/// Nothing that a server sends makes it panic: random bytes, and answers with random changes, in all of its states.
#[test]
fn any_input_is_taken() {
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..2_000 {
        let mut world = World::new();
        world.allocation.permit(address(9), world.now);
        for _ in 0..random.usize(1..12) {
            world.allocation.handle_timeout(world.now);
            let mut replies = vec![(0..random.usize(0..60)).map(|_| random.u8(..)).collect::<Vec<_>>()];
            while let Some(message) = world.allocation.poll_message() {
                let Ok(request) = Message::from_bytes(&message) else { panic!("{round}") };
                let code = [300, 400, 401, 403, 437, 438, 440, 441, 442, 486, 508, 699];
                if random.u8(..4) == 0 {
                    replies.push(world.error(&request, code[random.usize(..code.len())]));
                } else {
                    replies.extend(world.answer(&message));
                }
            }
            for mut reply in replies {
                for _ in 0..random.usize(..3) {
                    if !reply.is_empty() && random.bool() {
                        let at = random.usize(..reply.len());
                        reply[at] = random.u8(..);
                    } else {
                        reply.truncate(random.usize(..=reply.len()));
                    }
                }
                world.allocation.handle_message(&reply, world.now, |_, _, _| {});
            }
            world.now += Duration::from_millis(random.u64(..2_000));
        }
    }
}

#[test]
fn the_relayed_address_has_the_family_of_the_turn_server_if_that_reaches_a_peer() {
    let (v4, v6) = (address(9), address_v6(9));
    for (peers, reached, relayed) in [
        (&[v4, v6][..], v4, SocketAddr::from(RELAYED)),
        (&[v6, v4], v4, RELAYED.into()),
        (&[v6], v6, RELAYED_V6.into()),
    ] {
        let mut world = World::towards(peers);
        world.run(SECOND);
        assert_eq!(world.events, [AllocationEvent::Usable(relayed)], "{peers:?}");
        assert!(world.allocation.wrap(reached, b"data", world.now).is_some(), "{peers:?}");
    }
    // A peer of the other family that comes later is not reached.
    let mut world = World::towards(&[v4]);
    world.allocation.permit(v6, world.now);
    world.run(SECOND);
    assert_eq!(world.allocation.wrap(v6, b"data", world.now), None);
}

#[test]
fn a_server_that_does_not_support_a_family_is_asked_for_the_other_one_once() {
    let (v4, v6) = (address(9), address_v6(9));
    let mut world = World::towards(&[v6, v4]);
    world.families = &[AddressFamily::IPV6];
    world.run(SECOND);
    assert_eq!(world.events, [AllocationEvent::Usable(RELAYED_V6.into())]);
    assert!(world.allocation.wrap(v6, b"data", world.now).is_some());
    for (peers, families) in [(&[v6][..], &[AddressFamily::IPV4][..]), (&[v6, v4], &[])] {
        let mut world = World::towards(peers);
        world.families = families;
        world.run(SECOND);
        assert_eq!(world.events, [AllocationEvent::Failed(RelayError::Refused(440))], "{peers:?}");
    }
}

#[test]
fn a_peer_of_ipv6_that_is_forbidden_is_told() {
    let mut world = World::towards(&[address_v6(9)]);
    world.bind = Answer::Error(403);
    world.run(SECOND);
    assert_eq!(world.events, [AllocationEvent::Failed(RelayError::Forbidden)]);
}
