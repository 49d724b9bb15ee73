use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::net::TcpStream;

use crate::relay::{RelayError, pad, split_message};

/// Queued bytes above which the owner should make no more datagrams.
const CLOGGED: usize = 64 << 10;

/// Queued bytes above which messages are dropped, as a router would drop them.
const MAX_QUEUED: usize = 1 << 20;

/// Bytes read in one call.
const READ: usize = 64 << 10;

/// A stream to a relay: TCP, or TLS over it. The handshake of TLS needs no call of its own: what is sent waits for it.
pub(super) struct RelayStream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    received: BytesMut,
    queue: VecDeque<u8>,
}

impl RelayStream {
    /// `tls`: the configuration, and the name that the certificate has to have.
    pub(super) fn new(socket: TcpStream, tls: Option<(Arc<ClientConfig>, &str)>) -> Result<Self, RelayError> {
        let tls = match tls {
            None => None,
            Some((config, host)) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| RelayError::Unresolved)?;
                Some(Box::new(ClientConnection::new(config, name).map_err(|_| RelayError::Untrusted)?))
            }
        };
        Ok(Self { socket, tls, received: BytesMut::new(), queue: VecDeque::new() })
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let readable = self.socket.poll_read_ready(cx).is_ready();
        let writable = self.has_output() && self.socket.poll_write_ready(cx).is_ready();
        if readable || writable { Poll::Ready(()) } else { Poll::Pending }
    }

    fn has_output(&self) -> bool {
        match &self.tls {
            // During the handshake, what is queued waits for the other side, not for the socket.
            Some(tls) => tls.wants_write() || (!self.queue.is_empty() && !tls.is_handshaking()),
            None => !self.queue.is_empty(),
        }
    }

    /// Gives the messages that arrived to `take`, about `budget` of them. Returns whether some may be left.
    pub(super) fn receive(&mut self, budget: usize, mut take: impl FnMut(&[u8])) -> Result<bool, RelayError> {
        let mut taken = 0;
        loop {
            while let Some(message) = split_message(&mut self.received).map_err(|_| RelayError::Protocol)? {
                take(&message);
                taken += 1;
            }
            if taken >= budget {
                return Ok(true);
            }
            if !self.read()? {
                return Ok(false);
            }
        }
    }

    /// Reads once. Returns whether there may be more.
    fn read(&mut self) -> Result<bool, RelayError> {
        let Self { socket, tls, received, .. } = self;
        let Some(tls) = tls else {
            received.reserve(READ);
            return match socket.try_read_buf(received) {
                Ok(1..) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Ok(0) | Err(_) => Err(RelayError::Unreachable),
            };
        };
        match tls.read_tls(&mut Socket(socket)) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Ok(0) | Err(_) => return Err(RelayError::Unreachable),
        }
        let state = match tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // The alert that tells the server why. It is lost if the socket does not take it.
                let _ = tls.write_tls(&mut Socket(socket));
                return Err(tls_error(&error));
            }
        };
        let before = received.len();
        received.resize(before + state.plaintext_bytes_to_read(), 0);
        let plaintext = received.get_mut(before..).unwrap_or_default();
        tls.reader().read_exact(plaintext).map_err(|_| RelayError::Unreachable)?;
        Ok(true)
    }

    /// Queues a message.
    pub(super) fn send(&mut self, mut message: Vec<u8>) {
        pad(&mut message);
        if self.queue.len() + message.len() <= MAX_QUEUED {
            self.queue.extend(message);
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), RelayError> {
        let Self { socket, tls, queue, .. } = self;
        loop {
            let written = match tls {
                None if queue.is_empty() => return Ok(()),
                None => {
                    let (front, back) = queue.as_slices();
                    let written = socket.try_write_vectored(&[IoSlice::new(front), IoSlice::new(back)]);
                    if let Ok(written) = written {
                        drop(queue.drain(..written));
                    }
                    written
                }
                Some(tls) => {
                    if !queue.is_empty() && !tls.is_handshaking() {
                        let (front, _) = queue.as_slices();
                        let taken = tls.writer().write(front).map_err(|_| RelayError::Unreachable)?;
                        drop(queue.drain(..taken));
                    }
                    if !tls.wants_write() {
                        return Ok(());
                    }
                    tls.write_tls(&mut Socket(socket))
                }
            };
            match written {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Ok(0) | Err(_) => return Err(RelayError::Unreachable),
            }
        }
    }

    pub(super) fn is_clogged(&self) -> bool {
        self.queue.len() > CLOGGED
    }
}

fn tls_error(error: &rustls::Error) -> RelayError {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            RelayError::Untrusted
        }
        _ => RelayError::Protocol,
    }
}

/// The socket, as far as it can be read and written at once.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.try_write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_relay_that_reads_nothing_fills_a_bounded_queue() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_silent, _) = listener.accept().await.unwrap();
        for tls in [false, true] {
            let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let config = crate::relay::Trust::default().config().unwrap();
            let mut stream = RelayStream::new(dialled, tls.then_some((config, "127.0.0.1"))).unwrap();
            for _ in 0..20_000 {
                stream.send(vec![0x40; 1_234]);
                stream.flush().unwrap();
            }
            assert!(stream.is_clogged());
            assert!(
                (MAX_QUEUED - 1_236..=MAX_QUEUED).contains(&stream.queue.len()),
                "{}",
                stream.queue.len()
            );
        }
        drop(socket);
    }
}
