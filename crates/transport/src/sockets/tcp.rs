use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;

use super::dial::dial;
use crate::proxy::Proxy;

/// How long a connection may take to open.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Queued bytes above which the owner should make no more datagrams.
const CLOGGED: usize = 64 << 10;

/// Queued bytes above which datagrams are dropped, as a router would drop them.
const MAX_QUEUED: usize = 1 << 20;

/// Bytes read in one call.
const READ: usize = 64 << 10;

/// A TCP connection that this side dialled. Datagrams are framed by RFC 4571: a big-endian u16 with the length precedes
/// each.
pub(super) struct TcpPort {
    remote: SocketAddr,
    state: State,
    event: Option<TcpEvent>,
    /// Whether it is not used yet: it opens, and its owner learns of it only after [`TcpPort::release`].
    held: bool,
    /// Whether it goes through the proxy.
    proxied: bool,
}

/// An open connection, and whether it goes through the proxy.
type Dialled = (TcpStream, bool);

enum State {
    Dialling(Pin<Box<dyn Future<Output = io::Result<Dialled>> + Send>>),
    Open { stream: TcpStream, local: SocketAddr, received: BytesMut, queue: VecDeque<u8> },
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TcpEvent {
    Connected(SocketAddr),
    /// The connection ended or did not open. The local address is known if it had opened.
    Closed(Option<SocketAddr>),
}

impl TcpPort {
    /// `proxy`: the proxy through which the address is tried first.
    pub(super) fn dial(remote: SocketAddr, proxy: Option<Arc<Proxy>>) -> Self {
        let dialling = Box::pin(async move {
            let dialled = tokio::time::timeout(DIAL_TIMEOUT, open(remote, proxy));
            dialled.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        });
        Self { remote, state: State::Dialling(dialling), event: None, held: false, proxied: false }
    }

    /// Dials, and holds the connection back. The server assigns a connection to the session that its first message
    /// belongs to, so a connection for a session that is still to come must carry nothing yet.
    pub(super) fn hold(remote: SocketAddr, proxy: Option<Arc<Proxy>>) -> Self {
        Self { held: true, ..Self::dial(remote, proxy) }
    }

    pub(super) const fn release(&mut self) {
        self.held = false;
    }

    pub(super) const fn is_held(&self) -> bool {
        self.held
    }

    /// Whether it goes through the proxy.
    pub(super) const fn is_proxied(&self) -> bool {
        self.proxied
    }

    pub(super) const fn remote(&self) -> SocketAddr {
        self.remote
    }

    pub(super) const fn local(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Open { local, .. } => Some(*local),
            _ => None,
        }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.told().is_some() {
            return Poll::Ready(());
        }
        match &mut self.state {
            State::Dialling(dialling) => match dialling.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(dialled) => {
                    self.dialled(dialled);
                    Poll::Ready(())
                }
            },
            State::Open { stream, queue, .. } => {
                let readable = stream.poll_read_ready(cx).is_ready();
                let writable = !queue.is_empty() && stream.poll_write_ready(cx).is_ready();
                if readable || writable { Poll::Ready(()) } else { Poll::Pending }
            }
            State::Closed => Poll::Pending,
        }
    }

    fn dialled(&mut self, dialled: io::Result<Dialled>) {
        let opened = dialled.and_then(|(stream, proxied)| {
            stream.set_nodelay(true)?;
            Ok((stream.local_addr()?, stream, proxied))
        });
        match opened {
            Ok((local, stream, proxied)) => {
                self.proxied = proxied;
                self.state = State::Open { stream, local, received: BytesMut::new(), queue: VecDeque::new() };
                self.event = Some(TcpEvent::Connected(local));
            }
            Err(_) => self.end(),
        }
    }

    pub(super) fn receive(&mut self, budget: usize, mut take: impl FnMut(SocketAddr, &[u8])) -> bool {
        let mut taken = 0;
        loop {
            let State::Open { stream, local, received, .. } = &mut self.state else { return false };
            let local = *local;
            while let Some(frame) = split_frame(received) {
                take(local, &frame);
                taken += 1;
            }
            if taken >= budget {
                return true;
            }
            received.reserve(READ);
            match stream.try_read_buf(received) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Ok(0) | Err(_) => {
                    self.end();
                    return false;
                }
            }
        }
    }

    pub(super) fn send(&mut self, contents: &[u8]) {
        let State::Open { queue, .. } = &mut self.state else { return };
        let Ok(len) = u16::try_from(contents.len()) else { return };
        if queue.len() + 2 + contents.len() <= MAX_QUEUED {
            queue.extend(len.to_be_bytes());
            queue.extend(contents);
        }
    }

    pub(super) fn flush(&mut self) {
        loop {
            let State::Open { stream, queue, .. } = &mut self.state else { return };
            if queue.is_empty() {
                return;
            }
            let (front, back) = queue.as_slices();
            match stream.try_write_vectored(&[io::IoSlice::new(front), io::IoSlice::new(back)]) {
                Ok(written @ 1..) => drop(queue.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => return self.end(),
            }
        }
    }

    pub(super) fn is_clogged(&self) -> bool {
        matches!(&self.state, State::Open { queue, .. } if queue.len() > CLOGGED)
    }

    pub(super) fn poll_event(&mut self) -> Option<TcpEvent> {
        let told = self.told();
        if told.is_some() {
            self.event = None;
        }
        told
    }

    /// The event, if the owner may learn of it.
    fn told(&self) -> Option<TcpEvent> {
        self.event.filter(|event| !self.held || matches!(event, TcpEvent::Closed(_)))
    }

    fn end(&mut self) {
        // The owner has not learned of a connection that is held back.
        let local = self.local().filter(|_| !self.held);
        self.event = Some(TcpEvent::Closed(local));
        self.state = State::Closed;
    }
}

async fn open(remote: SocketAddr, proxy: Option<Arc<Proxy>>) -> io::Result<Dialled> {
    let direct = async { TcpStream::connect(remote).await.map(|stream| (stream, false)) };
    let Some(proxy) = proxy else { return direct.await };
    let (host, direct) = (remote.ip().to_string(), async { direct.await.ok() });
    let dialled = dial(&proxy, &host, remote.port(), |tunnel| (tunnel, true), direct).await;
    dialled.map_err(io::Error::other)
}

/// Takes the first whole frame off. Empty frames are skipped.
fn split_frame(received: &mut BytesMut) -> Option<BytesMut> {
    loop {
        let len = usize::from(u16::from_be_bytes([*received.first()?, *received.get(1)?]));
        if received.len() < 2 + len {
            return None;
        }
        received.advance(2);
        if len > 0 {
            return Some(received.split_to(len));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn what_a_server_does_not_read_is_bounded() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut port = TcpPort::dial(server.local_addr().unwrap(), None);
        let (silent, ()) = tokio::join!(server.accept(), std::future::poll_fn(|cx| port.poll_ready(cx)));
        assert!(matches!(port.poll_event(), Some(TcpEvent::Connected(_))));
        let datagram = [7; 1_200];
        // The system holds some of it.
        for _ in 0..50_000 {
            port.send(&datagram);
            port.flush();
        }
        let State::Open { queue, .. } = &port.state else { unreachable!() };
        assert!(port.is_clogged());
        assert!((MAX_QUEUED - 1_202..=MAX_QUEUED).contains(&queue.len()), "{}", queue.len());
        drop(silent);
    }

    #[tokio::test]
    async fn a_connection_that_is_held_back_is_told_when_it_is_released() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut port = TcpPort::hold(server.local_addr().unwrap(), None);
        let opening = std::future::poll_fn(|cx| {
            let _ = port.poll_ready(cx);
            if port.local().is_some() { Poll::Ready(()) } else { Poll::Pending }
        });
        let (accepted, ()) = tokio::join!(server.accept(), opening);
        assert_eq!(port.poll_event(), None);
        // The event does not keep its owner awake either.
        let ready = std::future::poll_fn(|cx| Poll::Ready(port.poll_ready(cx).is_ready())).await;
        assert!(!ready);
        port.release();
        std::future::poll_fn(|cx| port.poll_ready(cx)).await;
        assert!(matches!(port.poll_event(), Some(TcpEvent::Connected(_))));
        drop(accepted);
    }

    #[tokio::test]
    async fn a_connection_that_ends_while_it_is_held_back_is_no_candidate() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut port = TcpPort::hold(server.local_addr().unwrap(), None);
        let accepting = async { drop(server.accept().await) };
        let ending = std::future::poll_fn(|cx| {
            while port.poll_ready(cx).is_ready() && port.event != Some(TcpEvent::Closed(None)) {
                port.receive(1, |_, _| ());
            }
            if port.event == Some(TcpEvent::Closed(None)) { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::join!(accepting, ending);
        assert_eq!(port.poll_event(), Some(TcpEvent::Closed(None)));
    }

    #[test]
    fn frames_are_found_wherever_the_stream_was_cut() {
        let stream = [0, 3, 1, 2, 3, 0, 0, 0, 1, 9, 0, 2, 7];
        for cut in 0..stream.len() {
            let mut received = BytesMut::new();
            let mut frames = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                received.extend_from_slice(part);
                while let Some(frame) = split_frame(&mut received) {
                    frames.push(frame.to_vec());
                }
            }
            assert_eq!(frames, [vec![1, 2, 3], vec![9]], "cut at {cut}");
            assert_eq!(received[..], [0, 2, 7], "cut at {cut}");
        }
    }
}
