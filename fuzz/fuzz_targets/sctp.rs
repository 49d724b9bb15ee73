//! Whole SCTP associations with a hostile end: packets with the right tag and any chunks, in any state of the
//! handshake, of streams and of the shutdown. Nothing panics, what is sent stays in proportion, and no deadline is in
//! the past.
#![no_main]

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use bytes::Bytes;
use datatrack_sctp::{
    Algorithm, Association, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent, TransportConfig, repair_until,
};
use libfuzzer_sys::fuzz_target;

/// Packets that may leave for one step beside what was written: an answer, a repetition, a probe.
const PACKETS_PER_STEP: usize = 64;
const ADDRESS: &str = "127.0.0.1:5000";

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

#[derive(Debug, Arbitrary)]
struct Input {
    gated: bool,
    /// The victim begins; else the hostile end does.
    connects: bool,
    /// A real peer makes the handshake before the hostile end takes its place.
    established: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    /// Any chunks behind the right header.
    Chunks(Vec<Chunk>),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// A packet that the real peer sent, with some bytes changed.
    Damaged(u8, Vec<(u16, u8)>),
    Open(u8, bool, u8, u16),
    /// The stream, the length, and for how many ms the message is repaired.
    Write(u8, u16, Option<u8>),
    Close(u8),
    Read(u8),
    Wait(u16),
    Shutdown,
}

#[derive(Debug, Arbitrary)]
enum Chunk {
    Any { kind: u8, flags: u8, value: Vec<u8> },
    Init { answer: bool, window: u32, streams: u16, tsn: u32, parameters: Vec<u8> },
    Data { ahead: i16, flags: u8, stream: u8, ssn: u16, len: u16 },
    Sack { ahead: i16, window: u32, blocks: Vec<(u16, u16)>, duplicates: u8 },
    Forward { ahead: i16, streams: Vec<(u8, u16)> },
    Reset { ahead: i8, last: i16, streams: Vec<u8> },
    Answer { ahead: i8, result: u8 },
    Heartbeat(u16),
}

/// What the hostile end knows of the victim.
struct View {
    /// Tag of packets to the victim.
    tag: u32,
    /// The number after the last one that the real peer used.
    theirs: u32,
    /// The highest number that the victim used.
    ours: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |four| u32::from_be_bytes(four.try_into().expect("four bytes")))
}

impl Chunk {
    fn write(&self, view: &View, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        let (kind, flags) = match self {
            Self::Any { kind, flags, value: bytes } => {
                value.extend(bytes);
                (*kind, *flags)
            }
            Self::Init { answer, window, streams, tsn, parameters } => {
                for word in [7, *window, u32::from(*streams) << 16 | u32::from(*streams), *tsn] {
                    value.extend(word.to_be_bytes());
                }
                value.extend(parameters);
                (if *answer { 2 } else { 1 }, 0)
            }
            Self::Data { ahead, flags, stream, ssn, len } => {
                value.extend(view.theirs.wrapping_add_signed(i32::from(*ahead)).to_be_bytes());
                value.extend(u16::from(*stream).to_be_bytes());
                value.extend(ssn.to_be_bytes());
                value.extend(51_u32.to_be_bytes());
                value.resize(12 + usize::from(*len % 1200), 1);
                (0, *flags)
            }
            Self::Sack { ahead, window, blocks, duplicates } => {
                value.extend(view.ours.wrapping_add_signed(i32::from(*ahead)).to_be_bytes());
                value.extend(window.to_be_bytes());
                value.extend((blocks.len() as u16).to_be_bytes());
                value.extend(u16::from(*duplicates).to_be_bytes());
                for (first, last) in blocks {
                    value.extend(first.to_be_bytes());
                    value.extend(last.to_be_bytes());
                }
                (3, 0)
            }
            Self::Forward { ahead, streams } => {
                value.extend(view.theirs.wrapping_add_signed(i32::from(*ahead)).to_be_bytes());
                for (stream, ssn) in streams {
                    value.extend(u16::from(*stream).to_be_bytes());
                    value.extend(ssn.to_be_bytes());
                }
                (192, 0)
            }
            Self::Reset { ahead, last, streams } => {
                value.extend(13_u16.to_be_bytes());
                value.extend((16 + 2 * streams.len() as u16).to_be_bytes());
                value.extend(view.theirs.wrapping_add_signed(i32::from(*ahead)).to_be_bytes());
                value.extend([0; 4]);
                value.extend(view.theirs.wrapping_add_signed(i32::from(*last)).to_be_bytes());
                for stream in streams {
                    value.extend(u16::from(*stream).to_be_bytes());
                }
                (130, 0)
            }
            Self::Answer { ahead, result } => {
                value.extend([0, 16, 0, 12]);
                value.extend(view.ours.wrapping_add_signed(i32::from(*ahead)).to_be_bytes());
                value.extend(u32::from(*result).to_be_bytes());
                (130, 0)
            }
            Self::Heartbeat(len) => {
                value.resize(usize::from(*len % 2000), 2);
                (4, 0)
            }
        };
        out.extend([kind, flags]);
        out.extend(((4 + value.len()) as u16).to_be_bytes());
        out.extend(&value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

struct End {
    endpoint: Endpoint,
    association: Option<Association>,
}

impl End {
    fn new(gated: bool, seed: u64) -> (Self, Arc<TransportConfig>) {
        let algorithm = if gated { Algorithm::DelayGated } else { Algorithm::NewReno };
        let transport = Arc::new(
            TransportConfig::default()
                .with_congestion_control(algorithm)
                .with_max_receive_buffer_size(128 * 1024),
        );
        let mut config = EndpointConfig::default();
        config.max_payload_size(1160).seed(seed);
        let server = ServerConfig { transport: Arc::clone(&transport) };
        let endpoint = Endpoint::new(Arc::new(config), Some(Arc::new(server)));
        (Self { endpoint, association: None }, transport)
    }

    fn connect(&mut self, transport: Arc<TransportConfig>) {
        let mut config = ClientConfig::new();
        config.transport = transport;
        let address: SocketAddr = ADDRESS.parse().expect("an address");
        self.association = self.endpoint.connect(config, address).ok().map(|(_, association)| association);
    }

    fn take(&mut self, now: Instant, packet: Bytes) {
        let address: SocketAddr = ADDRESS.parse().expect("an address");
        match self.endpoint.handle(now, address, None, None, packet) {
            Some((_, DatagramEvent::NewAssociation(association))) => self.association = Some(association),
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                if let Some(association) = &mut self.association {
                    association.handle_event(event);
                }
            }
            None => {}
        }
    }

    /// Packets that leave now. Reads what can be read, and checks that time goes on.
    fn poll(&mut self, now: Instant) -> Vec<Bytes> {
        let mut sent = Vec::new();
        let Some(association) = &mut self.association else { return sent };
        association.handle_timeout(now);
        while let Some(transmit) = self.endpoint.poll_transmit().or_else(|| association.poll_transmit(now)) {
            let Payload::RawEncode(packets) = transmit.payload else { break };
            assert!(packets.iter().all(|packet| packet.len() <= 1200), "a packet is too large");
            sent.extend(packets);
            assert!(sent.len() < 20_000, "packets without end");
        }
        while let Some(event) = association.poll() {
            if let Event::Stream(StreamEvent::Readable { id }) = event
                && id % 3 != 0
            {
                while let Ok(Some(_)) = association.stream(id).and_then(|mut stream| stream.read()) {}
            }
        }
        assert!(association.poll_timeout().is_none_or(|at| at > now), "a deadline is in the past");
        sent
    }
}

fuzz_target!(|input: Input| {
    let mut now = *START;
    let (mut victim, transport) = End::new(input.gated, 1);
    let (mut peer, peer_transport) = End::new(input.gated, 2);
    if input.connects {
        victim.connect(transport);
    } else {
        peer.connect(peer_transport);
    }
    let mut recorded: Vec<Bytes> = Vec::new();
    let mut view = View { tag: 0, theirs: 0, ours: 0 };
    for round in 0..if input.established { 8 } else { 1 } {
        for packet in victim.poll(now) {
            view.ours = if packet.get(12) == Some(&0) { u32_at(&packet, 16) } else { view.ours };
            peer.take(now, packet);
        }
        if round == 5
            && let Some(association) = &mut peer.association
            && let Ok(mut stream) = association.open_stream(1, PayloadProtocolIdentifier::Binary)
        {
            let _ = stream.write_with_ppi(&[1; 3000], PayloadProtocolIdentifier::Binary);
        }
        for packet in peer.poll(now) {
            if input.established || !input.connects {
                view.tag = u32_at(&packet, 4);
                view.theirs = match packet.get(12) {
                    Some(0) => u32_at(&packet, 16).wrapping_add(1),
                    Some(1 | 2) => u32_at(&packet, 28),
                    _ => view.theirs,
                };
                recorded.push(packet.clone());
                victim.take(now, packet);
            }
        }
        now += Duration::from_millis(1);
    }
    let (mut written, mut sent, mut steps) = (0, 0, 0);
    for step in input.steps.into_iter().take(64) {
        steps += 1;
        match step {
            Step::Chunks(chunks) => {
                let mut packet = [19, 136, 19, 136].to_vec();
                packet.extend(view.tag.to_be_bytes());
                packet.extend([0; 4]);
                chunks.iter().take(16).for_each(|chunk| chunk.write(&view, &mut packet));
                victim.take(now, Bytes::from(packet));
            }
            Step::Bytes(bytes) => victim.take(now, Bytes::from(bytes)),
            Step::Damaged(which, changes) => {
                if let Some(packet) = recorded.get(usize::from(which) % recorded.len().max(1)) {
                    let mut packet = packet.to_vec();
                    packet[8..12].fill(0);
                    for (at, byte) in changes {
                        let at = usize::from(at) % packet.len();
                        packet[at] = byte;
                    }
                    victim.take(now, Bytes::from(packet));
                }
            }
            Step::Open(id, unordered, kind, value) => {
                if let Some(association) = &mut victim.association
                    && let Ok(mut stream) =
                        association.open_stream(id.into(), PayloadProtocolIdentifier::Binary)
                {
                    let _ = stream.set_reliability_params(
                        unordered,
                        ReliabilityType::from(kind % 3),
                        u32::from(value),
                    );
                }
            }
            Step::Write(id, len, repair) => {
                let until = repair.map(|ms| now + Duration::from_millis(ms.into()));
                let message = vec![3; usize::from(len)];
                if let Some(association) = &mut victim.association
                    && let Ok(mut stream) = association.stream(id.into())
                    && let Ok(bytes) = repair_until(|| until, || {
                        stream.write_with_ppi(&message, PayloadProtocolIdentifier::Binary)
                    })
                {
                    written += bytes;
                }
            }
            Step::Close(id) => {
                if let Some(association) = &mut victim.association
                    && let Ok(mut stream) = association.stream(id.into())
                {
                    let _ = stream.close();
                }
            }
            Step::Read(id) => {
                if let Some(association) = &mut victim.association
                    && let Ok(mut stream) = association.stream(id.into())
                {
                    while let Ok(Some(_)) = stream.read() {}
                }
            }
            Step::Wait(ms) => {
                // As the owner does it: to the next deadline, a few times at most.
                let end = now + Duration::from_millis(ms.into());
                for _ in 0..50 {
                    let due = victim.association.as_ref().and_then(Association::poll_timeout);
                    let Some(due) = due.filter(|due| *due < end) else { break };
                    now = due;
                    sent += victim.poll(now).len();
                    steps += 1;
                }
                now = end;
            }
            Step::Shutdown => {
                if let Some(association) = &mut victim.association {
                    let _ = association.shutdown();
                }
            }
        }
        for packet in victim.poll(now) {
            view.ours = if packet.get(12) == Some(&0) { u32_at(&packet, 16) } else { view.ours };
            sent += 1;
        }
    }
    assert!(sent <= PACKETS_PER_STEP * steps + 16 * (written / 1000 + steps), "{sent} packets");
});
