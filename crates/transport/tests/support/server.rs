//! A livekit-server for this test alone, on free ports of 127.0.0.1.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const KEY: &str = "devkey";
const SECRET: &str = "secretsecretsecretsecretsecretsecret";

pub struct Server {
    pub port: u16,
    /// The server's process and its configuration file. `None` for a server that this process did not start.
    process: Option<(Child, PathBuf)>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((process, config)) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
            let _ = std::fs::remove_file(config);
        }
    }
}

impl Server {
    /// Starts the server that `LIVEKIT_SERVER_BIN` names. Without that variable it says so and returns `None`.
    pub fn start() -> Option<Self> {
        let Some(binary) = std::env::var_os("LIVEKIT_SERVER_BIN") else {
            super::skip("LIVEKIT_SERVER_BIN does not name a livekit-server");
            return None;
        };
        let [port, tcp] = [free_tcp_port(), free_tcp_port()];
        let udp = free_port(|port| UdpSocket::bind(("127.0.0.1", port)));
        let config = std::env::temp_dir().join(format!("livekit-{}-{port}.yaml", std::process::id()));
        let yaml = format!(
            "port: {port}\nbind_addresses: [\"127.0.0.1\"]\nrtc:\n  tcp_port: {tcp}\n  udp_port: {udp}\n  \
             use_external_ip: false\n  node_ip: 127.0.0.1\n  enable_loopback_candidate: true\n  interfaces:\n    \
             includes: [lo]\nkeys:\n  {KEY}: {SECRET}\nlogging:\n  level: error\n"
        );
        std::fs::write(&config, yaml).unwrap();
        let log = std::env::var_os("LIVEKIT_SERVER_LOG")
            .map_or(Stdio::null(), |path| std::fs::File::create(path).unwrap().into());
        let process = Command::new(binary)
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("a server that starts");
        let server = Self { port, process: Some((process, config)) };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < super::PATIENCE, "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    /// The server on that port, which another process started.
    pub fn attach(port: u16) -> Self {
        Self { port, process: None }
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|(process, _)| process.id())
    }

    pub fn token(&self, room: &str, identity: &str) -> String {
        super::token(KEY, SECRET, room, identity)
    }
}

fn free_tcp_port() -> u16 {
    free_port(|port| TcpListener::bind(("127.0.0.1", port)))
}

/// The ports that are looked at. The system gives out none of them by itself (Linux begins at 32,768). Such a port could
/// be taken by another program before the server uses it.
const PORTS: std::ops::Range<u16> = 12_000..30_000;

/// The next port that could be used. Processes that run at the same time begin at different ones.
fn free_port<T>(bind: impl Fn(u16) -> std::io::Result<T>) -> u16 {
    static LOOKED_AT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    for _ in 0..count {
        let at = std::process::id().wrapping_mul(61) + LOOKED_AT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + u16::try_from(at % count).unwrap();
        if bind(port).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
