//! The packet side of an SFU, in this process.
//!
//! A [`Hub`] forwards the packets of its members as an SFU would, those of data tracks and those of audio tracks. The
//! signalling side sets up the routes. The hub rewrites the handles of data tracks. Packets pass a [`Network`], which may
//! be bad.

mod audio;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bytes::{Bytes, BytesMut};
use datatrack::Instant;
use datatrack::packet::{Handle, rewrite_handle};
use datatrack::publisher::TakenFrame;

use self::audio::{Audio, Heard, Spoken};
pub use self::audio::{AudioRoute, Sound};
use crate::connection::WorkSignal;
use crate::link::Taken;
use crate::link::lock;
use crate::network::{Network, NetworkOptions, NetworkStats};
use crate::{Clock, Link, LinkHost, LinkOptions};

/// Frames of at least this size, in bytes, are taken whole. Splitting such a frame costs less than copying its packets.
const LARGE_FRAME: usize = 4_096;

/// Packets that a member may send before the other members have their turn.
const BATCH: usize = 64;

/// An in-process SFU's packet side. See the [module](self).
pub struct Hub {
    members: Mutex<Members>,
    /// Members that have packets. Each member is listed once.
    ready: Mutex<VecDeque<(MemberId, Arc<AtomicBool>)>>,
    work: WorkSignal,
    clock: Clock,
    /// Whether routed packets are being delivered to their receivers now.
    delivering: AtomicBool,
    closed: AtomicBool,
}

/// The number of a member. The caller chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub u32);

#[derive(Debug)]
struct Members {
    by_id: HashMap<MemberId, Member>,
    joined: u64,
    network: NetworkOptions,
    stats: HubStats,
}

#[derive(Debug)]
struct Member {
    link: Arc<Link>,
    /// How many members joined before this one. It seeds the member's path through the network.
    number: u64,
    routes: HashMap<Handle, Vec<Route>>,
    audio: Audio,
    network: Network<Carried>,
    /// Whether the member is in [`Hub::ready`].
    queued: Arc<AtomicBool>,
}

/// What a network carries.
#[derive(Debug, Clone)]
enum Carried {
    Data(Handle, BytesMut),
    Audio(Spoken),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    to: MemberId,
    handle: Handle,
}

/// What happened to the members' packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HubStats {
    /// Packets handed to receivers. A packet that goes to three receivers counts three times.
    pub forwarded: u64,
    /// Packets that no route took.
    pub no_route: u64,
    /// What the network did.
    pub network: NetworkStats,
}

/// Notifies the hub of a member's packets, and the member's owner of everything else.
struct MemberHost {
    hub: Weak<Hub>,
    id: MemberId,
    owner: Arc<dyn LinkHost>,
    queued: Arc<AtomicBool>,
}

impl LinkHost for MemberHost {
    fn events_ready(&self) {
        self.owner.events_ready();
    }

    fn frames_ready(&self) {
        self.owner.frames_ready();
    }

    fn work_ready(&self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.wake(self.id, &self.queued);
        }
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.owner.spawn_blocking(work);
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub without members. It forwards nothing until the caller runs [`run`](Self::run).
    #[must_use]
    pub fn new(network: NetworkOptions) -> Arc<Self> {
        Arc::new(Self {
            members: Mutex::new(Members {
                by_id: HashMap::new(),
                joined: 0,
                network,
                stats: HubStats::default(),
            }),
            ready: Mutex::default(),
            work: WorkSignal::new(),
            clock: Clock::start(),
            delivering: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    /// The clock that the members' links use.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// What wakes the hub. The voices of members have to have it. The caller that opens a reader has to notify it.
    pub fn signal(&self) -> WorkSignal {
        self.work.clone()
    }

    /// Whether all packets of a member's publisher were delivered or lost. `true` if there is no such member.
    pub fn is_drained(&self, id: MemberId) -> bool {
        let members = lock(&self.members);
        let drained = members.by_id.get(&id).is_none_or(|member| {
            !member.network.in_flight().any(|carried| matches!(carried, Carried::Data(..)))
                && member.link.publisher(|publisher, _| publisher.is_drained())
        });
        drained && !self.delivering.load(Ordering::Acquire)
    }

    /// Whether all packets of a member's audio tracks were delivered or lost, but for the tracks of the voices that
    /// `keeping` names. `true` if there is no such member.
    pub fn is_audio_drained(&self, id: MemberId, keeping: &[String]) -> bool {
        let members = lock(&self.members);
        let drained = members.by_id.get(&id).is_none_or(|member| {
            !member.network.in_flight().any(|carried| match carried {
                Carried::Data(..) => false,
                Carried::Audio(spoken) => keeping.iter().all(|cid| **cid != *spoken.cid),
            })
        });
        drained && !self.delivering.load(Ordering::Acquire)
    }

    /// Adds a member. Its link notifies `owner` of everything except packets.
    pub fn join(
        self: &Arc<Self>,
        id: MemberId,
        options: LinkOptions,
        owner: Arc<dyn LinkHost>,
        sound: Sound,
    ) -> Arc<Link> {
        let queued = Arc::new(AtomicBool::new(false));
        let host = MemberHost { hub: Arc::downgrade(self), id, owner, queued: queued.clone() };
        let link = Link::new(options, Arc::new(host));
        let mut members = lock(&self.members);
        let number = members.joined;
        members.joined += 1;
        let network = Network::new(members.network, number);
        let audio = Audio::new(sound);
        let member = Member { link: link.clone(), number, routes: HashMap::new(), audio, network, queued };
        members.by_id.insert(id, member);
        link
    }

    /// Removes a member with all routes from and to it. Its link stays as it is.
    pub fn leave(&self, id: MemberId) {
        let mut members = lock(&self.members);
        if let Some(member) = members.by_id.remove(&id) {
            members.stats.network.merge(&member.network.stats());
        }
        for member in members.by_id.values_mut() {
            for routes in member.routes.values_mut() {
                routes.retain(|route| route.to != id);
            }
            member.audio.remove_member(id);
        }
    }

    /// Routes the packets of `from`'s track `track` to `to`, under `handle`. Replaces an earlier route between the two.
    pub fn add_route(&self, from: MemberId, track: Handle, to: MemberId, handle: Handle) {
        if let Some(member) = lock(&self.members).by_id.get_mut(&from) {
            let routes = member.routes.entry(track).or_default();
            routes.retain(|route| route.to != to);
            routes.push(Route { to, handle });
        }
    }

    /// Removes the route of `from`'s track `track` to `to`.
    pub fn remove_route(&self, from: MemberId, track: Handle, to: MemberId) {
        if let Some(member) = lock(&self.members).by_id.get_mut(&from)
            && let Some(routes) = member.routes.get_mut(&track)
        {
            routes.retain(|route| route.to != to);
            if routes.is_empty() {
                member.routes.remove(&track);
            }
        }
    }

    /// Publishes an audio track of `from`, or replaces the list of those who hear it. A track with another SID and the
    /// same voice ends.
    pub fn set_audio_route(&self, from: MemberId, route: AudioRoute) {
        let mut members = lock(&self.members);
        let Members { by_id, network, .. } = &mut *members;
        let sid = route.sid.clone();
        let Some(member) = by_id.get_mut(&from) else { return };
        let added = member.audio.set(route, network.seed, member.number);
        let hearing: Vec<_> = added
            .into_iter()
            .filter_map(|to| Some(Arc::clone(&by_id.get(&to)?.audio.sound.hearing)))
            .collect();
        drop(members);
        for hearing in hearing {
            // Its packets come from another place than those before, if there were some.
            hearing.handle_restart(&sid);
        }
        self.work.notify();
    }

    /// Ends the audio track of that voice.
    pub fn remove_audio_route(&self, from: MemberId, cid: &str) {
        if let Some(member) = lock(&self.members).by_id.get_mut(&from) {
            member.audio.remove(cid);
        }
    }

    /// Changes the network from the next packet on.
    pub fn set_network(&self, options: NetworkOptions) {
        let mut members = lock(&self.members);
        members.network = options;
        for member in members.by_id.values_mut() {
            member.network.set_options(options, member.number);
            member.audio.set_seed(options.seed, member.number);
        }
        drop(members);
        self.work.notify();
    }

    /// What happened to the packets so far.
    pub fn stats(&self) -> HubStats {
        let members = lock(&self.members);
        let mut stats = members.stats;
        for member in members.by_id.values() {
            stats.network.merge(&member.network.stats());
        }
        stats
    }

    /// Closes all links and ends [`run`](Self::run). Idempotent.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let members = std::mem::take(&mut lock(&self.members).by_id);
        for member in members.into_values() {
            member.link.close();
        }
        self.work.notify();
    }

    fn wake(&self, id: MemberId, queued: &Arc<AtomicBool>) {
        if !queued.swap(true, Ordering::AcqRel) {
            lock(&self.ready).push_back((id, queued.clone()));
            self.work.notify();
        }
    }

    /// Forwards packets until the hub is closed.
    pub async fn run(self: Arc<Self>) {
        while !self.closed.load(Ordering::Acquire) {
            if self.forward() {
                // Other tasks need the thread too. New packets may have come meanwhile.
                tokio::task::yield_now().await;
                continue;
            }
            let work = self.work.notified();
            match self.poll_timeout() {
                Some(deadline) => {
                    tokio::select! {
                        () = work => {}
                        () = tokio::time::sleep_until(deadline) => self.handle_timeout(),
                    }
                }
                None => work.await,
            }
        }
    }

    /// Gives each member that has packets a turn. Returns whether there is more to do at once.
    fn forward(&self) -> bool {
        let now = self.clock.now();
        let mut deliveries = Deliveries::default();
        let ready = std::mem::take(&mut *lock(&self.ready));
        let mut members = lock(&self.members);
        let Members { by_id, stats, .. } = &mut *members;
        let mut to_tell = Vec::new();
        for (id, queued) in ready {
            queued.store(false, Ordering::Release);
            let Some(member) = by_id.get_mut(&id) else { continue };
            let (more, told) = member.send(now, &mut deliveries, stats);
            if more {
                self.wake(id, &queued);
            }
            if told {
                to_tell.push(member.link.clone());
            }
        }
        let mut heard = Vec::new();
        for member in by_id.values_mut() {
            member.speak(now);
            member.receive(now, &mut deliveries, &mut heard, stats);
        }
        let deliveries = deliveries.resolve(by_id);
        let heard: Vec<_> = heard
            .into_iter()
            .filter_map(|heard| Some((Arc::clone(&by_id.get(&heard.to)?.audio.sound.hearing), heard)))
            .collect();
        let std_now = self.clock.to_std(now);
        let hearing = by_id.values().map(|member| &member.audio.sound.hearing);
        let due = hearing.filter(|hearing| hearing.poll_timeout().is_some_and(|due| due <= std_now));
        let due: Vec<_> = due.cloned().collect();
        // Set under the lock, so that `is_drained` sees it as soon as it sees empty queues.
        self.delivering.store(!deliveries.is_empty() || !heard.is_empty(), Ordering::Release);
        drop(members);
        // No lock of the hub is held here: a link's host may call the hub.
        for link in to_tell {
            link.events_ready();
        }
        let busy = !deliveries.is_empty();
        for (link, packets) in deliveries {
            link.subscriber(|subscriber, now| {
                let epoch = subscriber.epoch();
                for packet in packets {
                    subscriber.handle_packet(packet, epoch, now);
                }
            });
        }
        for (hearing, Heard { sid, packet, .. }) in heard {
            hearing.handle_packet(&sid, &packet, std_now);
        }
        // After that: what has arrived is there in time, even if this task was late.
        for hearing in due {
            hearing.handle_timeouts(std_now);
        }
        self.delivering.store(false, Ordering::Release);
        busy || !lock(&self.ready).is_empty()
    }

    fn poll_timeout(&self) -> Option<tokio::time::Instant> {
        let members = lock(&self.members);
        let data = members.by_id.values();
        let data = data.flat_map(|member| [member.link.poll_timeout(), member.network.poll_timeout()]);
        let audio = members.by_id.values().filter_map(|member| member.audio.sound.hearing.poll_timeout());
        let audio = audio.min().map(tokio::time::Instant::from_std);
        data.flatten().min().map(|data| self.clock.to_tokio(data)).into_iter().chain(audio).min()
    }

    /// Handles a deadline: of a link, of a packet in the network, or of a sender that had to wait.
    fn handle_timeout(&self) {
        let members = lock(&self.members);
        let waiting = members
            .by_id
            .iter()
            .map(|(id, member)| (*id, member.link.clone(), member.queued.clone()))
            .collect::<Vec<_>>();
        drop(members);
        let now = self.clock.now();
        for (id, link, queued) in waiting {
            if link.poll_timeout().is_some_and(|deadline| deadline <= now) {
                link.handle_timeout();
            }
            self.wake(id, &queued);
        }
    }
}

impl Member {
    /// Takes packets from the member's publisher. Returns whether there are more, and whether the member's link has
    /// events.
    fn send(&mut self, now: Instant, deliveries: &mut Deliveries, stats: &mut HubStats) -> (bool, bool) {
        let mut has_events = false;
        for _ in 0..BATCH {
            if !self.network.accepts(now) {
                // The hub comes back at the network's own deadline.
                return (false, has_events);
            }
            // A bad network decides for each packet.
            let min_len = if self.network.is_perfect() { LARGE_FRAME } else { usize::MAX };
            let mut copied = None;
            let (taken, told) = self.link.take_quietly(min_len, |track, packet| {
                copied = Some((track, BytesMut::from(packet)));
            });
            has_events |= told;
            match (taken, copied) {
                (Taken::Frame(frame), _) => self.route_frame(frame, deliveries, stats),
                (Taken::Packet, Some((track, packet))) if min_len == LARGE_FRAME => {
                    self.route(track, packet, deliveries, stats);
                }
                (Taken::Packet, Some((track, packet))) => {
                    let len = packet.len();
                    self.network.send(Carried::Data(track, packet), len, now);
                }
                _ => return (false, has_events),
            }
        }
        (true, has_events)
    }

    /// Takes packets from the member's voices. While the network accepts nothing, they wait, and the oldest are dropped.
    fn speak(&mut self, now: Instant) {
        let Self { audio, network, .. } = self;
        if network.accepts(now) {
            audio.take(|fates, spoken, len| network.send_with(fates, Carried::Audio(spoken), len, now));
        }
    }

    /// Takes the packets that have come through the network.
    fn receive(
        &mut self,
        now: Instant,
        deliveries: &mut Deliveries,
        heard: &mut Vec<Heard>,
        stats: &mut HubStats,
    ) {
        while let Some(carried) = self.network.poll(now) {
            match carried {
                Carried::Data(track, packet) => self.route(track, packet, deliveries, stats),
                Carried::Audio(spoken) => match self.audio.arrive(spoken, heard) {
                    0 => stats.no_route += 1,
                    hearers => stats.forwarded += hearers as u64,
                },
            }
        }
    }

    /// Cuts a frame's buffer into its packets, in place.
    fn route_frame(&self, frame: TakenFrame, deliveries: &mut Deliveries, stats: &mut HubStats) {
        let mut rest = BytesMut::from(Bytes::from(frame.packets));
        for len in
            (0..frame.layout.packets).filter_map(|index| frame.layout.range(index)).map(|range| range.len())
        {
            let packet = rest.split_to(len.min(rest.len()));
            self.route(frame.handle, packet, deliveries, stats);
        }
    }

    fn route(&self, track: Handle, mut packet: BytesMut, deliveries: &mut Deliveries, stats: &mut HubStats) {
        let routes = self.routes.get(&track).map_or(&[][..], Vec::as_slice);
        let Some((last, others)) = routes.split_last() else {
            stats.no_route += 1;
            return;
        };
        for route in others {
            let mut copy = packet.clone();
            rewrite_handle(&mut copy, route.handle);
            deliveries.add(route.to, copy.freeze());
        }
        rewrite_handle(&mut packet, last.handle);
        deliveries.add(last.to, packet.freeze());
        stats.forwarded += routes.len() as u64;
    }
}

/// Packets by receiver, in order.
#[derive(Default)]
struct Deliveries(Vec<(MemberId, Vec<Bytes>)>);

impl Deliveries {
    fn add(&mut self, to: MemberId, packet: Bytes) {
        match self.0.iter_mut().find(|(id, _)| *id == to) {
            Some((_, packets)) => packets.push(packet),
            None => self.0.push((to, vec![packet])),
        }
    }

    fn resolve(self, members: &HashMap<MemberId, Member>) -> Vec<(Arc<Link>, Vec<Bytes>)> {
        self.0
            .into_iter()
            .filter_map(|(id, packets)| Some((members.get(&id)?.link.clone(), packets)))
            .collect()
    }
}
