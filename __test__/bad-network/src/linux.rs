//! The loop that carries packets.

use std::io::{Error, ErrorKind, Result, StdinLock, Write as _};
use std::os::fd::AsFd as _;
use std::time::Instant;

use serde::Serialize;

use crate::direction::{Counters, Direction};
use crate::settings::{Change, Name};
use crate::tun::{Tun, sleep_precisely, wait};

/// Packets that are read from a device before the others have their turn.
const BATCH: usize = 64;
/// No packet is larger.
const LARGEST: usize = 65_536;
/// Bytes of a line on stdin, at most.
const LONGEST_LINE: usize = 4096;

#[derive(Serialize)]
struct Report {
    up: Counters,
    down: Counters,
}

/// Runs until stdin ends, which happens also when the process that started this has ended.
pub(crate) fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, first, second] = &arguments[..] else {
        return Err(Error::other("arguments: SEED NAMESPACE:DEVICE NAMESPACE:DEVICE"));
    };
    let seed: u64 = seed.parse().map_err(Error::other)?;
    let (first, second) = (create(first)?, create(second)?);
    let now = Instant::now();
    let mut up = Direction::new(seed, now);
    let mut down = Direction::new(seed.wrapping_add(1), now);
    sleep_precisely();
    let mut lines = Lines::new()?;
    let mut buffer = vec![0; LARGEST];
    report(&up, &down)?;
    loop {
        let mut busy = carry(&first, &second, &mut up, &mut buffer)?;
        busy |= carry(&second, &first, &mut down, &mut buffer)?;
        loop {
            match lines.next()? {
                Line::Nothing => break,
                Line::End => return Ok(()),
                Line::Text(line) => change(&line, &mut up, &mut down)?,
            }
        }
        if !busy {
            let due = up.next_due().into_iter().chain(down.next_due()).min();
            let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
            wait([first.as_fd(), second.as_fd(), lines.stdin.as_fd()], timeout);
        }
    }
}

fn create(place: &str) -> Result<Tun> {
    let (namespace, device) =
        place.split_once(':').ok_or_else(|| Error::other("a place is NAMESPACE:DEVICE"))?;
    Tun::create(namespace, device)
}

/// Moves what there is, at most a batch of new packets. Returns whether there may be more.
fn carry(from: &Tun, to: &Tun, direction: &mut Direction, buffer: &mut [u8]) -> Result<bool> {
    let mut read = 0;
    while read < BATCH {
        let Some(packet) = from.read(buffer)? else { break };
        direction.push(packet, Instant::now());
        read += 1;
    }
    let now = Instant::now();
    while let Some(packet) = direction.poll(now) {
        to.write(&packet);
    }
    Ok(read == BATCH)
}

/// Every line has an answer: the counters, or what is wrong with it.
fn change(line: &str, up: &mut Direction, down: &mut Direction) -> Result<()> {
    match Change::parse(line) {
        Ok(change) => {
            let now = Instant::now();
            for (name, direction) in [(Name::Up, &mut *up), (Name::Down, &mut *down)] {
                if change.is_for(name) {
                    direction.set(change.apply(direction.settings()), now);
                }
            }
            report(up, down)
        }
        Err(error) => print(&serde_json::json!({ "error": error })),
    }
}

fn report(up: &Direction, down: &Direction) -> Result<()> {
    print(&Report { up: up.counters(), down: down.counters() })
}

fn print(value: &impl Serialize) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    serde_json::to_writer(&mut stdout, value)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

enum Line {
    Text(String),
    Nothing,
    End,
}

/// Lines of stdin, without waiting for them.
struct Lines {
    stdin: StdinLock<'static>,
    rest: Vec<u8>,
}

impl Lines {
    fn new() -> Result<Self> {
        let stdin = std::io::stdin().lock();
        crate::tun::set_nonblocking(stdin.as_fd())?;
        Ok(Self { stdin, rest: Vec::new() })
    }

    fn next(&mut self) -> Result<Line> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Line::Text(String::from_utf8_lossy(&line).trim().to_owned()));
            }
            if self.rest.len() > LONGEST_LINE {
                return Err(Error::other("a line is too long"));
            }
            let mut buffer = [0; LONGEST_LINE];
            match crate::tun::read(self.stdin.as_fd(), &mut buffer) {
                Ok([]) => return Ok(Line::End),
                Ok(bytes) => self.rest.extend_from_slice(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Line::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
