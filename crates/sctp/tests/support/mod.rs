//! Two associations with a link between them, on virtual time: delay, rate, a queue, and seeded loss.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sctp_proto::{
    Algorithm, Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event,
    Payload, PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent, TransportConfig,
};

/// A small generator of numbers, repeatable.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn chance(&mut self, share: f64) -> bool {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 <= share && share > 0.0
    }
}

/// One direction of a link.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    pub delay: Duration,
    /// Bytes a second; 0: no limit.
    pub rate: u64,
    /// How long packets may wait for their turn.
    pub queue: Duration,
    pub loss: f64,
    pub duplicate: f64,
    /// Share of packets that come later by this.
    pub reorder: f64,
    pub late: Duration,
}

impl Line {
    pub const fn new(delay: Duration) -> Self {
        Self {
            delay,
            rate: 0,
            queue: Duration::from_millis(50),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            late: Duration::from_millis(5),
        }
    }
}

pub struct End {
    pub endpoint: Endpoint,
    pub association: Option<Association>,
    pub handle: AssociationHandle,
    pub events: VecDeque<Event>,
    pub received: Vec<(u16, Bytes)>,
    pub closed_streams: Vec<u16>,
    pub reset_streams: Vec<u16>,
    pub connected: bool,
    pub lost: Option<String>,
    pub packets_sent: u64,
    pub read: bool,
}

/// Says of a packet whether it is dropped: the end that sends it, and its bytes.
pub type Filter = Box<dyn FnMut(usize, &[u8]) -> bool>;

pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub ends: [End; 2],
    /// From each end.
    pub lines: [Line; 2],
    free_at: [Instant; 2],
    random: Random,
    in_air: BinaryHeap<Reverse<(Instant, u64, usize, Bytes)>>,
    count: u64,
    /// Packets that a test wants to see: end and bytes.
    pub seen: Vec<(usize, Bytes)>,
    pub watch: bool,
    /// Drops packets for which it says so.
    pub filter: Option<Filter>,
}

pub const ADDRESS: &str = "127.0.0.1:5000";

pub fn transport(congestion: Algorithm) -> Arc<TransportConfig> {
    Arc::new(
        TransportConfig::default()
            .with_max_init_retransmits(None)
            .with_max_receive_buffer_size(4 * 1024 * 1024)
            .with_congestion_control(congestion),
    )
}

impl World {
    pub fn new(seed: u64, line: Line) -> Self {
        Self::with(seed, line, Algorithm::NewReno)
    }

    pub fn with(seed: u64, line: Line, congestion: Algorithm) -> Self {
        let now = Instant::now();
        let end = |salt: u64| {
            let mut config = EndpointConfig::default();
            config.max_payload_size(1160).seed(seed ^ salt);
            let server = ServerConfig { transport: transport(congestion) };
            End {
                endpoint: Endpoint::new(Arc::new(config), Some(Arc::new(server))),
                association: None,
                handle: AssociationHandle(0),
                events: VecDeque::new(),
                received: Vec::new(),
                closed_streams: Vec::new(),
                reset_streams: Vec::new(),
                connected: false,
                lost: None,
                packets_sent: 0,
                read: true,
            }
        };
        Self {
            now,
            start: now,
            ends: [end(1), end(2)],
            lines: [line, line],
            free_at: [now, now],
            random: Random(seed),
            in_air: BinaryHeap::new(),
            count: 0,
            seen: Vec::new(),
            watch: false,
            filter: None,
        }
    }

    pub fn connect(&mut self, end: usize, congestion: Algorithm) {
        let mut config = ClientConfig::new();
        config.transport = transport(congestion);
        let (handle, association) =
            self.ends[end].endpoint.connect(config, ADDRESS.parse().unwrap()).unwrap();
        self.ends[end].association = Some(association);
        self.ends[end].handle = handle;
    }

    /// Connects and runs until both are connected.
    pub fn established(seed: u64, line: Line, congestion: Algorithm) -> Self {
        let quiet = Line { loss: 0.0, duplicate: 0.0, reorder: 0.0, ..line };
        let mut world = Self::with(seed, quiet, congestion);
        world.connect(0, congestion);
        world.run_until(Duration::from_secs(30), |world| world.ends.iter().all(|end| end.connected));
        assert!(world.ends.iter().all(|end| end.connected), "not connected");
        world.lines = [line, line];
        world
    }

    pub fn open(&mut self, end: usize, id: u16, unordered: bool, kind: ReliabilityType, value: u32) {
        let association = self.ends[end].association.as_mut().unwrap();
        let mut stream = association.open_stream(id, PayloadProtocolIdentifier::Binary).unwrap();
        stream.set_reliability_params(unordered, kind, value).unwrap();
    }

    pub fn write(&mut self, end: usize, id: u16, data: &[u8]) {
        let association = self.ends[end].association.as_mut().unwrap();
        association.stream(id).unwrap().write_with_ppi(data, PayloadProtocolIdentifier::Binary).unwrap();
    }

    pub fn buffered(&mut self, end: usize, id: u16) -> usize {
        self.ends[end].association.as_mut().unwrap().stream(id).unwrap().buffered_amount().unwrap()
    }

    /// Hands out what both have to send, and takes what they tell.
    pub fn settle(&mut self) {
        for end in 0..2 {
            loop {
                let transmit = match &mut self.ends[end].association {
                    Some(association) => association.poll_transmit(self.now),
                    None => None,
                };
                let Some(transmit) = transmit else { break };
                let Payload::RawEncode(packets) = transmit.payload else { break };
                for packet in packets {
                    self.ends[end].packets_sent += 1;
                    self.send(end, packet);
                }
            }
            self.collect(end);
        }
    }

    fn collect(&mut self, end: usize) {
        let side = &mut self.ends[end];
        let Some(association) = &mut side.association else { return };
        let mut readable = Vec::new();
        while let Some(event) = association.poll() {
            match &event {
                Event::Connected => side.connected = true,
                Event::AssociationLost { reason } => side.lost = Some(reason.to_string()),
                Event::Stream(StreamEvent::Readable { id }) => readable.push(*id),
                Event::Stream(StreamEvent::Finished { id }) => side.closed_streams.push(*id),
                Event::Stream(StreamEvent::ResetComplete { id }) => side.reset_streams.push(*id),
                _ => {}
            }
            side.events.push_back(event);
        }
        if !side.read {
            return;
        }
        for id in readable {
            let Ok(mut stream) = association.stream(id) else { continue };
            while let Ok(Some(chunks)) = stream.read() {
                side.received.push((id, chunks.into_bytes()));
            }
        }
    }

    fn send(&mut self, from: usize, packet: Bytes) {
        if self.watch {
            self.seen.push((from, packet.clone()));
        }
        if let Some(filter) = &mut self.filter
            && filter(from, &packet)
        {
            return;
        }
        let line = self.lines[from];
        if self.random.chance(line.loss) {
            return;
        }
        let mut leaves = self.now;
        let size = packet.len() as u64 + 80;
        if let Some(nanos) = (size * 1_000_000_000).checked_div(line.rate) {
            let starts = self.free_at[from].max(self.now);
            if starts - self.now > line.queue {
                return;
            }
            leaves = starts + Duration::from_nanos(nanos);
            self.free_at[from] = leaves;
        }
        let late = if self.random.chance(line.reorder) { line.late } else { Duration::ZERO };
        let copies = if self.random.chance(line.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            self.count += 1;
            self.in_air.push(Reverse((leaves + line.delay + late, self.count, 1 - from, packet.clone())));
        }
    }

    pub fn inject(&mut self, to: usize, packet: Bytes) {
        let now = self.now;
        let side = &mut self.ends[to];
        let Some((handle, event)) = side.endpoint.handle(now, ADDRESS.parse().unwrap(), None, None, packet)
        else {
            return;
        };
        match event {
            DatagramEvent::NewAssociation(association) => {
                side.association = Some(association);
                side.handle = handle;
            }
            DatagramEvent::AssociationEvent(event) => {
                if let Some(association) = &mut side.association {
                    association.handle_event(event);
                }
            }
        }
    }

    /// Goes on to the next thing that happens, at `limit` at the latest. `false`: nothing happens before that.
    pub fn step(&mut self, limit: Instant) -> bool {
        self.settle();
        let arrival = self.in_air.peek().map(|Reverse((at, ..))| *at);
        let timeout = self.ends.iter().filter_map(|end| end.association.as_ref()?.poll_timeout()).min();
        let Some(next) = [arrival, timeout].into_iter().flatten().min().filter(|next| *next <= limit) else {
            self.now = limit.max(self.now);
            return false;
        };
        self.now = next.max(self.now);
        while let Some(Reverse((at, ..))) = self.in_air.peek()
            && *at <= self.now
        {
            if let Some(Reverse((_, _, to, packet))) = self.in_air.pop() {
                self.inject(to, packet);
            }
        }
        let now = self.now;
        for end in &mut self.ends {
            if let Some(association) = &mut end.association {
                association.handle_timeout(now);
            }
        }
        self.settle();
        true
    }

    pub fn run_for(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.step(limit) {}
    }

    pub fn run_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let limit = self.now + time;
        while !done(self) {
            if !self.step(limit) {
                return done(self);
            }
        }
        true
    }
}
