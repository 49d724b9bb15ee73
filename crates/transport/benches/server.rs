//! Frames through a real livekit-server. Publisher, server and subscriber are processes of their own.
//!
//! `LIVEKIT_SERVER_BIN=… cargo bench -p datatrack-transport --bench server [-- SIZE@RATE …]`. A rate of 0 offers as
//! much as the queue takes and loses nothing on our side. Latency is measured from push to the end of the read, by the
//! system's clock.
//!
//! - `stream@SIZE` sends 50 MB of messages of that size on `_reliable`.
//! - `rpc@SIZE` sends 50 messages of 200 bytes a second, each of which comes back, beside a data track that offers
//!   frames of SIZE as fast as they go. With a SIZE of 0 there is no data track.
//! - `cold@SIZE` sends a frame a second, from the first one on that the subscriber can get.
//! - `publisher PORT ROOM CASE` and `subscriber PORT ROOM CASE` are the processes of a row. They may be started by hand
//!   on the two ends of a network link. `DATATRACK_BENCH_HOST` then says where the server is.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use datatrack::publisher::{PublishOptions, QueueOptions, WhenFull};
use datatrack_transport::connection::{ConnectionMode, ConnectionOptions};
use support::server::Server;
use support::{Participant, user_payload};

const CASES: [&str; 18] = [
    "256@0",
    "1024@0",
    "4096@0",
    "15000@0",
    "204800@0",
    "256@100",
    "256@1000",
    "256@20000",
    "1024@500",
    "4096@4000",
    "15000@50",
    "204800@45",
    "stream@15000",
    "rpc@0",
    "rpc@1000",
    "rpc@15000",
    "cold@36000",
    "cold@200000",
];
const LENGTH: Duration = Duration::from_secs(4);
const SILENCE: Duration = Duration::from_millis(700);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let parts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match parts[..] {
        ["publisher", port, room, case] => {
            let port = port.parse().unwrap();
            match case.split_once('@').unwrap() {
                ("stream", size) => run(send_stream(port, room, size.parse().unwrap())),
                ("rpc", size) => run(call(port, room, size.parse().unwrap())),
                ("cold", size) => run(publish_cold(port, room, size.parse().unwrap())),
                _ => run(publish(port, room, case)),
            }
        }
        ["subscriber", port, room, case] => {
            let port = port.parse().unwrap();
            match case.split_once('@').unwrap() {
                ("stream", _) => run(receive_stream(port, room)),
                ("rpc", _) => run(answer(port, room)),
                ("cold", _) => run(subscribe_cold(port, room)),
                _ => run(subscribe(port, room)),
            }
        }
        _ => compare(if parts.is_empty() { &CASES } else { &parts }),
    }
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}

fn mode() -> ConnectionOptions {
    let dual = std::env::var_os("DUAL").is_some();
    ConnectionOptions::new(if dual { ConnectionMode::Dual } else { ConnectionMode::Single })
}

fn compare(cases: &[&str]) {
    let Some(server) = Server::start() else { return };
    println!(
        "bytes@rate    pushed  delivered       /s    MB/s  p50 ms  p99 ms  CPU s per 100,000: publisher, subscriber"
    );
    for (index, case) in cases.iter().enumerate() {
        let room = format!("bench-{index}");
        let port = server.port.to_string();
        let child = |arguments: &[&str]| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(arguments).stdout(Stdio::piped()).spawn().unwrap()
        };
        let subscriber = child(&["subscriber", &port, &room, case]);
        let publisher = child(&["publisher", &port, &room, case]);
        let output = |child: std::process::Child| -> Vec<f64> {
            let output = child.wait_with_output().unwrap().stdout;
            String::from_utf8(output)
                .unwrap()
                .split_whitespace()
                .map(|number| number.parse().unwrap())
                .collect()
        };
        let (published, subscribed) = (output(publisher), output(subscriber));
        let ([pushed, publisher_cpu], [came, bytes, seconds, p50, p99, cpu]) =
            (&published[..], &subscribed[..])
        else {
            println!("{case:<12} failed");
            continue;
        };
        let per = |cpu: &f64| cpu / came * 100_000.0;
        println!(
            "{case:<12} {pushed:>7} {came:>10} {:>8.0} {:>7.1} {p50:>7.2} {p99:>7.2}  {:.2}, {:.2}",
            came / seconds,
            bytes / seconds / 1e6,
            per(publisher_cpu),
            per(cpu),
        );
    }
}

fn clock() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// Seconds of processor time that this process has used.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

async fn publish(port: u16, room: &str, case: &str) {
    let (size, rate) = case.split_once('@').unwrap();
    let (size, rate): (usize, f64) = (size.parse().unwrap(), rate.parse().unwrap());
    let participant = Participant::join(&Server::attach(port), room, "publisher", mode()).await;
    let mut options = PublishOptions::new("bench");
    if rate == 0.0 {
        options.queue = QueueOptions::without_age_limit(1 << 20, WhenFull::Refuse);
    }
    let track = participant.publish_with(options).await;
    let mut payload = vec![7; size];
    let mut push = |participant: &Participant| {
        payload[..8].copy_from_slice(&clock().to_le_bytes());
        participant.push(track, &payload).is_ok()
    };
    // Until the subscriber is there and the path is warm.
    let warm = Instant::now();
    while warm.elapsed() < Duration::from_millis(1_500) {
        push(&participant);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (started, before) = (Instant::now(), cpu());
    let mut pushed = 0_u64;
    while started.elapsed() < LENGTH {
        if rate == 0.0 {
            if push(&participant) {
                pushed += 1;
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            continue;
        }
        while (pushed as f64) < started.elapsed().as_secs_f64() * rate {
            push(&participant);
            pushed += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let used = cpu() - before;
    tokio::time::sleep(Duration::from_millis(300)).await;
    eprintln!("{:?}", participant.link.publisher(|publisher, _| publisher.track_stats(track)));
    println!("{pushed} {used}");
}

async fn subscribe(port: u16, room: &str) {
    let participant = Participant::join(&Server::attach(port), room, "subscriber", mode()).await;
    let stream = participant.subscribe("bench").await;
    // A warm-up frame comes every 20 ms. Warm-up ends when the subscriber is known to be there. The frames that follow
    // are counted.
    let warm = Instant::now();
    while warm.elapsed() < Duration::from_millis(800) {
        participant.read(stream).await;
    }
    let (before, mut latencies, mut bytes) = (cpu(), Vec::new(), 0_usize);
    let (mut first, mut last) = (None, Instant::now());
    while let Ok(frame) = tokio::time::timeout(SILENCE, participant.try_read(stream)).await {
        let payload = frame.payload.to_bytes();
        let sent = u64::from_le_bytes(payload[..8].try_into().unwrap());
        latencies.push(clock().saturating_sub(sent));
        bytes += payload.len();
        last = Instant::now();
        first.get_or_insert(last);
    }
    eprintln!("{:?}", participant.link.subscriber(|subscriber, _| subscriber.stream_stats(stream)));
    let used = cpu() - before;
    let seconds = last.duration_since(first.unwrap_or(last)).as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    println!("{} {bytes} {seconds} {} {} {used}", latencies.len(), at(0.5), at(0.99));
}

const STREAM: usize = 50_000_000;

async fn send_stream(port: u16, room: &str, size: usize) {
    let participant = Participant::join(&Server::attach(port), room, "publisher", mode()).await;
    let mut answers = participant.messages();
    // Waits until the other process is there.
    while tokio::time::timeout(Duration::from_millis(100), answers.recv()).await.is_err() {
        participant.send(vec![0; 8]).await;
    }
    let (before, mut sent) = (cpu(), 0);
    while sent < STREAM {
        let mut payload = vec![7; size];
        payload[..8].copy_from_slice(&clock().to_le_bytes());
        participant.send(payload).await;
        sent += size;
    }
    let used = cpu();
    let end = async { while answers.recv().await.is_some_and(|packet| user_payload(&packet) != b"end") {} };
    tokio::time::timeout(Duration::from_secs(60), end).await.expect("an end");
    println!("{} {}", sent / size, used - before);
}

async fn receive_stream(port: u16, room: &str) {
    let participant = Participant::join(&Server::attach(port), room, "subscriber", mode()).await;
    let mut messages = participant.messages();
    let (mut bytes, mut latencies, mut first, mut before) = (0, Vec::new(), None, cpu());
    while bytes < STREAM {
        let payload = user_payload(&messages.recv().await.unwrap());
        if payload.len() <= 8 {
            participant.send(b"here".to_vec()).await;
            before = cpu();
            continue;
        }
        first.get_or_insert_with(Instant::now);
        latencies.push(clock().saturating_sub(u64::from_le_bytes(payload[..8].try_into().unwrap())));
        bytes += payload.len();
    }
    report(&mut latencies, bytes, first.unwrap().elapsed().as_secs_f64(), cpu() - before);
    participant.send(b"end".to_vec()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
}

fn report(latencies: &mut [u64], bytes: usize, seconds: f64, used: f64) {
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    println!("{} {bytes} {seconds} {} {} {used}", latencies.len(), at(0.5), at(0.99));
}

/// The table shows the one-way latency. The round trips are reported separately.
async fn call(port: u16, room: &str, size: usize) {
    let participant = Participant::join(&Server::attach(port), room, "publisher", mode()).await;
    let mut answers = participant.messages();
    let mut options = PublishOptions::new("bench");
    options.queue = QueueOptions::without_age_limit(1 << 20, WhenFull::Refuse);
    let track = participant.publish_with(options).await;
    let link = participant.link.clone();
    let flood = tokio::spawn(async move {
        let frame = vec![7; size];
        if size == 0 {
            return;
        }
        loop {
            while link.push(track, &frame, None).is_ok() {}
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let mut calls = tokio::time::interval(Duration::from_millis(20));
    let (started, before, mut sent, mut times) = (Instant::now(), cpu(), 0, Vec::new());
    while started.elapsed() < LENGTH + Duration::from_secs(1) {
        tokio::select! {
            answer = answers.recv() => {
                let payload = user_payload(&answer.unwrap());
                let at = u64::from_le_bytes(payload[..8].try_into().unwrap());
                // The other process may start a little later.
                if started.elapsed() > Duration::from_secs(1) {
                    times.push(clock().saturating_sub(at));
                }
            }
            _ = calls.tick() => {
                let mut payload = vec![0; 200];
                payload[..8].copy_from_slice(&clock().to_le_bytes());
                participant.send(payload).await;
                sent += 1;
            }
        }
    }
    let used = cpu() - before;
    flood.abort();
    println!("{sent} {used}");
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    eprintln!("round trips: {}, p50 {:.2} ms, p99 {:.2} ms", times.len(), at(0.5), at(0.99));
    participant.send(b"end".to_vec()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
}

async fn answer(port: u16, room: &str) {
    let participant = Participant::join(&Server::attach(port), room, "subscriber", mode()).await;
    let mut messages = participant.messages();
    let flooded = async {
        let stream = participant.subscribe("bench").await;
        loop {
            participant.read(stream).await;
        }
    };
    let answering = async {
        let (mut latencies, mut bytes, started) = (Vec::new(), 0, Instant::now());
        loop {
            let payload = user_payload(&messages.recv().await.unwrap());
            if payload == b"end" {
                return (latencies, bytes, started);
            }
            latencies.push(clock().saturating_sub(u64::from_le_bytes(payload[..8].try_into().unwrap())));
            bytes += payload.len();
            participant.send(payload).await;
        }
    };
    let before = cpu();
    let (mut latencies, bytes, started) = tokio::select! {
        answered = answering => answered,
        () = flooded => unreachable!("it reads for ever"),
    };
    report(&mut latencies, bytes, started.elapsed().as_secs_f64(), cpu() - before);
}

const COLD_FRAMES: u64 = 10;

async fn publish_cold(port: u16, room: &str, size: usize) {
    let participant = Participant::join(&Server::attach(port), room, "publisher", mode()).await;
    let mut messages = participant.messages();
    let track = participant.publish("bench").await;
    while user_payload(&messages.recv().await.unwrap()) != b"here" {}
    let before = cpu();
    let mut payload = vec![7; size];
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..COLD_FRAMES {
        seconds.tick().await;
        payload[..8].copy_from_slice(&clock().to_le_bytes());
        participant.push(track, &payload).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("{COLD_FRAMES} {}", cpu() - before);
    participant.send(b"end".to_vec()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
}

async fn subscribe_cold(port: u16, room: &str) {
    let participant = Participant::join(&Server::attach(port), room, "subscriber", mode()).await;
    let mut messages = participant.messages();
    let stream = participant.subscribe("bench").await;
    let (before, started, mut latencies, mut bytes) = (cpu(), Instant::now(), Vec::new(), 0);
    participant.send(b"here".to_vec()).await;
    loop {
        tokio::select! {
            packet = messages.recv() => if user_payload(&packet.unwrap()) == b"end" { break },
            frame = participant.try_read(stream) => {
                let payload = frame.payload.to_bytes();
                latencies.push(clock().saturating_sub(u64::from_le_bytes(payload[..8].try_into().unwrap())));
                bytes += payload.len();
            }
        }
    }
    eprintln!("{:?}", participant.link.subscriber(|subscriber, _| subscriber.packet_stats()));
    if latencies.is_empty() {
        latencies.push(0);
    }
    report(&mut latencies, bytes, started.elapsed().as_secs_f64(), cpu() - before);
}
