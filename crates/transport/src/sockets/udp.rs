use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::task::{Context, Poll};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Size of the socket's buffers that we ask the system for, in bytes. The system may give less. A burst from the other
/// side must fit while the task is busy elsewhere.
const BUFFER: usize = 4 << 20;

/// Most bytes of one send call, below the largest UDP payload.
const MAX_BATCH: usize = 60_000;

/// Queued bytes in memory above which datagrams are dropped, as a router would drop them. While the system takes no
/// more, what a peer sends still causes acknowledgements.
const MAX_QUEUED: usize = 4 << 20;

/// Memory that a batch costs besides its bytes.
const BATCH_OVERHEAD: usize = 128;

/// Bytes that each message of a receive call may fill.
const SLOT: usize = 65_536;

/// Messages of one receive call.
const SLOTS: usize = 8;

thread_local! {
    /// The receive buffer. There is one for each thread of the runtime, not one for each room.
    static RECEIVED: RefCell<Vec<u8>> = RefCell::new(vec![0; SLOT * SLOTS]);
}

/// A UDP socket on one local address. Where the system can do it, datagrams of one size to one address are sent in one
/// call (GSO), and many are received in one call (GRO, `recvmmsg`).
pub(super) struct UdpPort {
    socket: UdpSocket,
    /// `None`: the system refuses a socket option that batches need, and datagrams are sent one by one.
    batches: Option<UdpSocketState>,
    local: SocketAddr,
    queue: VecDeque<Batch>,
    /// Bytes of all batches.
    queued_bytes: usize,
    spare: Vec<u8>,
    clogged: bool,
}

/// Datagrams of `segment` bytes in a row. Only the last one may be shorter.
struct Batch {
    remote: SocketAddr,
    segment: usize,
    bytes: Vec<u8>,
    count: usize,
}

impl UdpPort {
    pub(super) fn bind(ip: IpAddr) -> io::Result<Self> {
        let socket = StdUdpSocket::bind(SocketAddr::new(ip, 0))?;
        socket.set_nonblocking(true)?;
        let batches = match UdpSocketState::new(UdpSockRef::from(&socket)) {
            Ok(batches) => Some(batches),
            // Sandboxes and emulators do not know all socket options.
            Err(error) => {
                tracing::warn!("UDP datagrams are sent one by one: {error}");
                None
            }
        };
        Self::new(socket, batches)
    }

    fn new(socket: StdUdpSocket, batches: Option<UdpSocketState>) -> io::Result<Self> {
        // Both are requests: the system may allow less.
        let _ = SockRef::from(&socket).set_recv_buffer_size(BUFFER);
        let _ = SockRef::from(&socket).set_send_buffer_size(BUFFER);
        let local = socket.local_addr()?;
        let socket = UdpSocket::from_std(socket)?;
        Ok(Self {
            socket,
            batches,
            local,
            queue: VecDeque::new(),
            queued_bytes: 0,
            spare: Vec::new(),
            clogged: false,
        })
    }

    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A pending error counts as readable: receiving returns it and clears it.
        let readable = self.socket.poll_recv_ready(cx).is_ready();
        let writable = self.clogged && self.socket.poll_send_ready(cx).is_ready();
        if readable || writable { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(super) fn receive(&mut self, budget: usize, mut take: impl FnMut(SocketAddr, &[u8])) -> bool {
        RECEIVED.with_borrow_mut(|received| {
            let mut taken = 0;
            while taken < budget {
                let mut metas = [RecvMeta::default(); SLOTS];
                let filled = {
                    let mut chunks = received.chunks_exact_mut(SLOT);
                    let mut slots: [IoSliceMut<'_>; SLOTS] =
                        std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
                    match &self.batches {
                        Some(state) => self.socket.try_io(Interest::READABLE, || {
                            state.recv(UdpSockRef::from(&self.socket), &mut slots, &mut metas)
                        }),
                        None => self.receive_one(&mut slots, &mut metas),
                    }
                };
                let filled = match filled {
                    Ok(filled) => filled,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                    // A router reported an error about an earlier datagram. The next call may succeed.
                    Err(_) => {
                        taken += 1;
                        continue;
                    }
                };
                for (meta, slot) in metas.iter().zip(received.chunks_exact(SLOT)).take(filled) {
                    let Some(bytes) = slot.get(..meta.len) else { continue };
                    for datagram in bytes.chunks(meta.stride.max(1)) {
                        take(meta.addr, datagram);
                        taken += 1;
                    }
                }
            }
            true
        })
    }

    fn receive_one(&self, slots: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> io::Result<usize> {
        let (Some(slot), Some(meta)) = (slots.first_mut(), metas.first_mut()) else { return Ok(0) };
        let (len, addr) = self.socket.try_recv_from(slot)?;
        (meta.addr, meta.len, meta.stride) = (addr, len, len);
        Ok(1)
    }

    pub(super) fn send(&mut self, remote: SocketAddr, contents: &[u8]) {
        let more = contents.len() + BATCH_OVERHEAD;
        if self.queued() + more > MAX_QUEUED {
            self.flush();
            if self.queued() + more > MAX_QUEUED {
                return;
            }
        }
        let most = self.batches.as_ref().map_or(1, UdpSocketState::max_gso_segments);
        if let Some(last) = self.queue.back_mut()
            && last.remote == remote
            && last.count < most
            && contents.len() <= last.segment
            && last.bytes.len() == last.segment * last.count
            && last.bytes.len() + contents.len() <= MAX_BATCH
        {
            last.bytes.extend_from_slice(contents);
            last.count += 1;
            self.queued_bytes += contents.len();
            return;
        }
        self.queued_bytes += contents.len();
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.clear();
        bytes.extend_from_slice(contents);
        self.queue.push_back(Batch { remote, segment: contents.len(), bytes, count: 1 });
    }

    /// Memory of what is queued, in bytes.
    fn queued(&self) -> usize {
        self.queued_bytes + self.queue.len() * BATCH_OVERHEAD
    }

    pub(super) fn flush(&mut self) {
        self.clogged = false;
        while let Some(batch) = self.queue.front() {
            let transmit = Transmit {
                destination: batch.remote,
                ecn: None,
                contents: &batch.bytes,
                segment_size: (batch.count > 1).then_some(batch.segment),
                src_ip: None,
            };
            match self.try_send(&transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.clogged = true;
                    return;
                }
                // The system cannot send several datagrams in one call after all, or the interface cannot. They are
                // sent one by one.
                Err(_) if batch.count > 1 => {
                    for contents in batch.bytes.chunks(batch.segment.max(1)) {
                        let _ = self.try_send(&Transmit { contents, segment_size: None, ..transmit });
                    }
                }
                // An address may be unreachable for now. ICE notices it, and SCTP sends again.
                Ok(()) | Err(_) => {}
            }
            if let Some(batch) = self.queue.pop_front() {
                self.queued_bytes -= batch.bytes.len();
                self.spare = batch.bytes;
            }
        }
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let socket = &self.socket;
        match &self.batches {
            Some(state) => {
                socket.try_io(Interest::WRITABLE, || state.try_send(UdpSockRef::from(socket), transmit))
            }
            None => socket.try_send_to(transmit.contents, transmit.destination).map(drop),
        }
    }

    pub(super) const fn is_clogged(&self) -> bool {
        self.clogged
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    /// Fails instead of hanging.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn port(batches: bool) -> UdpPort {
        let socket = StdUdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let state = batches.then(|| UdpSocketState::new(UdpSockRef::from(&socket)).unwrap());
        UdpPort::new(socket, state).unwrap()
    }

    async fn exchange(from: &mut UdpPort, to: &mut UdpPort) {
        let sent: Vec<Vec<u8>> = (1..=20).map(|len| vec![len; usize::from(len)]).collect();
        for datagram in &sent {
            from.send(to.local(), datagram);
        }
        from.flush();
        // tokio does not know that a new socket is writable until it has polled the socket once.
        while from.is_clogged() {
            poll_fn(|cx| from.poll_ready(cx)).await;
            from.flush();
        }
        let mut received = Vec::new();
        while received.len() < sent.len() {
            poll_fn(|cx| to.poll_ready(cx)).await;
            to.receive(64, |remote, bytes| received.push((remote, bytes.to_vec())));
        }
        let expected: Vec<_> = sent.into_iter().map(|datagram| (from.local(), datagram)).collect();
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn a_socket_without_batches_carries_the_same_datagrams() {
        for (from, to) in [(false, true), (true, false), (false, false)] {
            let (mut from, mut to) = (port(from), port(to));
            let exchanged = tokio::time::timeout(PATIENCE, exchange(&mut from, &mut to)).await;
            assert!(exchanged.is_ok(), "not all datagrams came");
        }
    }

    #[tokio::test]
    async fn a_socket_without_batches_has_the_same_buffers() {
        let sizes = |port: &UdpPort| {
            let socket = SockRef::from(&port.socket);
            (socket.recv_buffer_size().unwrap(), socket.send_buffer_size().unwrap())
        };
        assert_eq!(sizes(&port(false)), sizes(&port(true)));
    }

    /// A port whose socket takes nothing, as long as nothing else runs: the runtime has not said that it is ready.
    #[tokio::test]
    async fn what_the_system_does_not_take_is_bounded() {
        for len in [1, 1_200] {
            let mut port = port(true);
            let remote = port.local();
            // Each is longer or shorter than the one before: a batch of its own, every other time.
            for number in 0..100_000 {
                port.send(remote, &vec![7; len + number % 2]);
                assert!(port.queued() <= MAX_QUEUED);
            }
            assert!(port.queued() + len + BATCH_OVERHEAD >= MAX_QUEUED, "{}", port.queued());
            port.socket.writable().await.unwrap();
            while !port.queue.is_empty() {
                port.flush();
                port.receive(usize::MAX, |_, _| {});
            }
            assert_eq!(port.queued(), 0);
        }
    }
}
