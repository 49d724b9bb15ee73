//! What the tests need of an engine: ours, or the one that str0m has by itself. Their interfaces are alike, so one
//! macro writes both.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use datatrack_sctp::Algorithm;

/// Which engine an end has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ours(Algorithm),
    Stock,
}

impl Kind {
    pub const RENO: Self = Self::Ours(Algorithm::NewReno);
    pub const GATED: Self = Self::Ours(Algorithm::DelayGated);

    pub fn make(self, seed: u64) -> Box<dyn Engine> {
        match self {
            Self::Ours(congestion) => {
                let mut endpoint = datatrack_sctp::EndpointConfig::default();
                endpoint.max_payload_size(MAX_PAYLOAD).seed(seed);
                Box::new(ours::End::new(endpoint, ours::transport().with_congestion_control(congestion)))
            }
            Self::Stock => {
                let mut endpoint = stock::EndpointConfig::default();
                endpoint.max_payload_size(MAX_PAYLOAD);
                Box::new(theirs::End::new(endpoint, theirs::transport()))
            }
        }
    }
}

/// Bytes of user data in a chunk; str0m leaves as much in a datagram of 1,232 bytes.
pub const MAX_PAYLOAD: u32 = 1160;

/// How hard the messages of a stream are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    Always,
    Times(u32),
    Ms(u32),
}

/// What has happened to an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    Connected,
    Lost(String),
    Readable(u16),
    Finished(u16),
    ResetComplete(u16),
    ResetFailed(u16),
    BufferedAmountLow(u16),
}

/// One end of a connection.
pub trait Engine {
    fn connect(&mut self);
    fn handle_packet(&mut self, now: Instant, packet: Bytes);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_packet(&mut self, now: Instant) -> Option<Bytes>;
    fn poll(&mut self) -> Option<Happened>;
    fn open(&mut self, id: u16, unordered: bool, tried: Try);
    /// Returns whether it was taken.
    fn write(&mut self, id: u16, data: &[u8]) -> bool;
    fn read(&mut self, id: u16) -> Option<Bytes>;
    /// 0 for a stream that is gone.
    fn buffered(&mut self, id: u16) -> usize;
    fn close_stream(&mut self, id: u16);
    fn shutdown(&mut self);
    fn is_closed(&self) -> bool;
    /// Bytes in flight, and those that may be; only ours says so.
    fn window(&self) -> Option<(usize, usize)>;
    /// Chunks that were refused; only ours says so.
    fn refused(&self) -> Option<u64>;
}

macro_rules! engine {
    ($module:ident, $krate:ident, $stats:expr) => {
        mod $module {
            use super::*;
            use $krate::{
                Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event,
                Payload, PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent,
                TransportConfig,
            };

            pub fn transport() -> TransportConfig {
                TransportConfig::default()
                    .with_max_init_retransmits(None)
                    .with_max_data_retransmits(None)
                    .with_max_receive_buffer_size(4 * 1024 * 1024)
            }

            pub struct End {
                endpoint: Endpoint,
                transport: Arc<TransportConfig>,
                association: Option<(AssociationHandle, Association)>,
                packets: VecDeque<Bytes>,
            }

            impl End {
                pub fn new(endpoint: EndpointConfig, transport: TransportConfig) -> Self {
                    let transport = Arc::new(transport);
                    let mut server = ServerConfig::default();
                    server.transport = Arc::clone(&transport);
                    let endpoint = Endpoint::new(Arc::new(endpoint), Some(Arc::new(server)));
                    Self { endpoint, transport, association: None, packets: VecDeque::new() }
                }

                fn association(&mut self) -> &mut Association {
                    &mut self.association.as_mut().expect("an association").1
                }
            }

            impl Engine for End {
                fn connect(&mut self) {
                    let mut config = ClientConfig::new();
                    config.transport = Arc::clone(&self.transport);
                    let address = "127.0.0.1:5000".parse().expect("an address");
                    self.association = Some(self.endpoint.connect(config, address).expect("an association"));
                }

                fn handle_packet(&mut self, now: Instant, packet: Bytes) {
                    let address = "127.0.0.1:5000".parse().expect("an address");
                    match self.endpoint.handle(now, address, None, None, packet) {
                        Some((handle, DatagramEvent::NewAssociation(association))) => {
                            self.association = Some((handle, association));
                        }
                        Some((_, DatagramEvent::AssociationEvent(event))) => {
                            if let Some((_, association)) = &mut self.association {
                                association.handle_event(event);
                            }
                        }
                        None => {}
                    }
                }

                fn handle_timeout(&mut self, now: Instant) {
                    if let Some((_, association)) = &mut self.association {
                        association.handle_timeout(now);
                    }
                }

                fn poll_timeout(&self) -> Option<Instant> {
                    self.association.as_ref()?.1.poll_timeout()
                }

                fn poll_packet(&mut self, now: Instant) -> Option<Bytes> {
                    if self.packets.is_empty() {
                        let (handle, association) = self.association.as_mut()?;
                        while let Some(event) = association.poll_endpoint_event() {
                            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                                association.handle_event(event);
                            }
                        }
                        let transmit =
                            self.endpoint.poll_transmit().or_else(|| association.poll_transmit(now))?;
                        if let Payload::RawEncode(packets) = transmit.payload {
                            self.packets.extend(packets);
                        }
                    }
                    self.packets.pop_front()
                }

                fn poll(&mut self) -> Option<Happened> {
                    loop {
                        let event = self.association.as_mut()?.1.poll()?;
                        return Some(match event {
                            Event::Connected => Happened::Connected,
                            Event::AssociationLost { reason } => Happened::Lost(reason.to_string()),
                            Event::Stream(StreamEvent::Readable { id }) => Happened::Readable(id),
                            Event::Stream(StreamEvent::Finished { id }) => Happened::Finished(id),
                            Event::Stream(StreamEvent::ResetComplete { id }) => Happened::ResetComplete(id),
                            Event::Stream(StreamEvent::ResetFailed { id, .. }) => Happened::ResetFailed(id),
                            Event::Stream(StreamEvent::BufferedAmountLow { id }) => {
                                Happened::BufferedAmountLow(id)
                            }
                            _ => continue,
                        });
                    }
                }

                fn open(&mut self, id: u16, unordered: bool, tried: Try) {
                    let (kind, value) = match tried {
                        Try::Always => (ReliabilityType::Reliable, 0),
                        Try::Times(times) => (ReliabilityType::Rexmit, times),
                        Try::Ms(ms) => (ReliabilityType::Timed, ms),
                    };
                    let binary = PayloadProtocolIdentifier::Binary;
                    let mut stream = self.association().open_stream(id, binary).expect("a new stream");
                    stream.set_reliability_params(unordered, kind, value).expect("an open stream");
                }

                fn write(&mut self, id: u16, data: &[u8]) -> bool {
                    let Ok(mut stream) = self.association().stream(id) else { return false };
                    stream.write_with_ppi(data, PayloadProtocolIdentifier::Binary).is_ok()
                }

                fn read(&mut self, id: u16) -> Option<Bytes> {
                    let chunks = self.association().stream(id).ok()?.read().ok()??;
                    let mut bytes = vec![0; chunks.len()];
                    chunks.read(&mut bytes).expect("room for it");
                    Some(Bytes::from(bytes))
                }

                fn buffered(&mut self, id: u16) -> usize {
                    self.association().stream(id).map_or(0, |stream| stream.buffered_amount().unwrap_or(0))
                }

                fn close_stream(&mut self, id: u16) {
                    self.association()
                        .stream(id)
                        .and_then(|mut stream| stream.close())
                        .expect("an open stream");
                }

                fn shutdown(&mut self) {
                    self.association().shutdown().expect("an established association");
                }

                fn is_closed(&self) -> bool {
                    self.association.as_ref().is_some_and(|(_, association)| association.is_closed())
                }

                fn window(&self) -> Option<(usize, usize)> {
                    let (in_flight, window, _) = $stats(&self.association.as_ref()?.1)?;
                    Some((in_flight, window))
                }

                fn refused(&self) -> Option<u64> {
                    let (.., refused) = $stats(&self.association.as_ref()?.1)?;
                    Some(refused)
                }
            }
        }
    };
}

type Stats = Option<(usize, usize, u64)>;

engine!(ours, datatrack_sctp, |association: &Association| -> Stats {
    let stats = association.stats();
    Some((stats.bytes_in_flight, stats.congestion_window, stats.refused))
});
engine!(theirs, stock, |_: &Association| -> Stats { None });
