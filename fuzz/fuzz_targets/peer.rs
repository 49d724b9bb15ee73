//! Any descriptions, candidates and datagrams for a peer, made up or real ones that were damaged: it never panics, what it
//! tells and sends is bounded, and its own descriptions name no connection that it dialled.
#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use datatrack_transport::peer::{ChannelKind, LocalCandidate, Peer, PeerEvent, Protocol};
use libfuzzer_sys::fuzz_target;

/// What one input may make a peer tell or send at most. It takes 64 candidates for each of the other side's ufrags.
const MOST: usize = 1_000;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

#[derive(Debug, Arbitrary)]
struct Input {
    offers: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Text(Vec<u8>),
    /// A description that a peer made, with some of its lines damaged.
    Damaged(Vec<Damage>),
    /// The same, whole.
    Whole,
    Candidate(Vec<u8>),
    /// A well-formed one.
    Address {
        tcp: bool,
        passive: bool,
        ip: [u8; 4],
        port: u16,
        kind: u8,
        priority: u32,
    },
    Dialled(u16),
    Gone(u16),
    Datagram {
        tcp: bool,
        port: u16,
        contents: Vec<u8>,
    },
    Write {
        channel: u8,
        len: u16,
    },
    Wait(u16),
    Restart,
}

#[derive(Debug, Arbitrary)]
enum Damage {
    Drop(u8),
    Repeat(u8, u8),
    Byte(u16, u8),
    Cut(u16),
    Line(u8, Vec<u8>),
    Known(u8, u8),
}

/// Lines that other peers write, and that a peer may know what to do with.
const KNOWN: [&str; 16] = [
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
    "a=rtpmap:96 VP8/90000",
    "a=mid:1",
    "a=group:BUNDLE 0 1 2",
    "a=setup:active",
    "a=setup:passive",
    "a=ice-lite",
    "a=ice-ufrag:other",
    "a=ice-pwd:0123456789012345678901",
    "a=fingerprint:sha-256 00",
    "a=sctp-port:65536",
    "a=max-message-size:18446744073709551616",
    "a=candidate:1 1 udp 2130706431 10.0.0.2 2000 typ host ufrag other",
    "a=candidate:1 1 tcp 1 10.0.0.2 2000 typ host tcptype passive",
];

impl Damage {
    fn on(&self, mut sdp: String) -> String {
        let mut lines: Vec<String> = sdp.lines().map(str::to_owned).collect();
        let at = |line: u8| usize::from(line) % lines.len().max(1);
        match self {
            Self::Drop(line) => {
                let at = at(*line);
                if at < lines.len() {
                    lines.remove(at);
                }
            }
            Self::Repeat(line, times) => {
                let at = at(*line);
                if let Some(line) = lines.get(at).cloned() {
                    lines.splice(at..at, std::iter::repeat_n(line, usize::from(*times)));
                }
            }
            Self::Byte(position, byte) => {
                let mut bytes = sdp.into_bytes();
                let len = bytes.len().max(1);
                if let Some(found) = bytes.get_mut(usize::from(*position) % len) {
                    *found = *byte;
                }
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Self::Cut(position) => {
                let mut end = usize::from(*position).min(sdp.len());
                while !sdp.is_char_boundary(end) {
                    end -= 1;
                }
                sdp.truncate(end);
                return sdp;
            }
            Self::Line(line, text) => lines.insert(at(*line), String::from_utf8_lossy(text).into_owned()),
            Self::Known(line, known) => {
                lines.insert(at(*line), KNOWN[usize::from(*known) % KNOWN.len()].to_owned());
            }
        }
        lines.iter().flat_map(|line| [line, "\r\n"]).collect()
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

const fn protocol(tcp: bool) -> Protocol {
    if tcp { Protocol::Tcp } else { Protocol::Udp }
}

fn describe(peer: &mut Peer, offers: bool, sdp: &str, now: Instant) {
    if offers {
        // An answer is taken once for each offer.
        let _ = peer.handle_answer(sdp, now);
    } else if let Ok(answer) = peer.handle_offer(sdp, now) {
        check(&answer);
    }
}

fn check(sdp: &str) {
    assert!(!sdp.contains(" tcptype active"), "{sdp}");
}

fuzz_target!(|input: Input| {
    let mut now = *START;
    let Input { offers, steps } = input;
    let (mut peer, mut other) = if offers {
        (Peer::offering(now), Peer::answering(now))
    } else {
        (Peer::answering(now), Peer::offering(now))
    };
    peer.add_local_candidate(LocalCandidate::Host(Protocol::Udp, local(1_000)), now);
    other.add_local_candidate(
        LocalCandidate::Host(Protocol::Udp, SocketAddr::from(([10, 0, 0, 2], 2_000))),
        now,
    );
    let real = if offers {
        let offer = peer.create_offer(now).expect("a new peer makes an offer");
        other.handle_offer(&offer, now).expect("a peer's offer is taken")
    } else {
        other.create_offer(now).expect("a new peer makes an offer")
    };
    let (mut told, mut sent) = (0, 0);
    for step in steps.into_iter().take(32) {
        match step {
            Step::Text(text) => describe(&mut peer, offers, &String::from_utf8_lossy(&text), now),
            Step::Damaged(damages) => {
                let sdp = damages.iter().take(8).fold(real.clone(), |sdp, damage| damage.on(sdp));
                describe(&mut peer, offers, &sdp, now);
            }
            Step::Whole => describe(&mut peer, offers, &real, now),
            Step::Candidate(text) => {
                let _ = peer.add_remote_candidate(&String::from_utf8_lossy(&text), now);
            }
            Step::Address { tcp, passive, ip: [a, b, c, d], port, kind, priority } => {
                let transport = if tcp { "tcp" } else { "udp" };
                let kind = ["host", "srflx raddr 0.0.0.0 rport 0", "relay", "prflx"][usize::from(kind) % 4];
                let tcp = match (tcp, passive) {
                    (false, _) => "",
                    (true, true) => " tcptype passive",
                    (true, false) => " tcptype active",
                };
                let text =
                    format!("candidate:1 1 {transport} {priority} {a}.{b}.{c}.{d} {port} typ {kind}{tcp}");
                let _ = peer.add_remote_candidate(&text, now);
            }
            Step::Dialled(port) => {
                peer.add_local_candidate(LocalCandidate::Host(Protocol::Tcp, local(port)), now)
            }
            Step::Gone(port) => {
                peer.remove_local_candidate(LocalCandidate::Host(Protocol::Tcp, local(port)), now)
            }
            Step::Datagram { tcp, port, contents } => {
                let remote = SocketAddr::from(([10, 0, 0, 2], 2_000));
                peer.handle_datagram(protocol(tcp), local(port), remote, &contents, now);
            }
            Step::Write { channel, len } => {
                let channel = ChannelKind::ALL[usize::from(channel) % 3];
                let _ = peer.write(channel, &vec![0; usize::from(len)], now);
                peer.flush(now);
            }
            Step::Wait(ms) => {
                now += Duration::from_millis(u64::from(ms));
                peer.handle_timeout(now);
            }
            Step::Restart if offers => {
                if let Ok(offer) = peer.create_offer(now) {
                    check(&offer);
                }
            }
            Step::Restart => {}
        }
        while let Some(event) = peer.poll_event() {
            told += usize::from(!matches!(event, PeerEvent::LocalCandidate(_)));
        }
        sent += std::iter::from_fn(|| peer.poll_transmit()).count();
    }
    assert!(told <= MOST * 4 && sent <= MOST * 32, "{told} told, {sent} sent");
});
