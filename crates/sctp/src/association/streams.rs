//! The streams of an association: what is written to them, what they have received, and how they end.

use crate::receive::InboundStream;
use crate::send::Limit;

/// Streams that may be open at once. A data channel is one; a peer that opens more is given up.
pub(crate) const MAX_STREAMS: usize = 2048;
/// In the index: no stream.
const NONE: u16 = u16::MAX;

#[derive(Debug)]
pub(crate) struct StreamState {
    pub(crate) inbound: InboundStream,
    pub(crate) next_ssn: u16,
    pub(crate) unordered: bool,
    pub(crate) limit: Limit,
    /// Bytes written that are not settled.
    pub(crate) buffered: usize,
    pub(crate) low_threshold: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The application was told that there is something to read, and has not read since.
    pub(crate) told: bool,
    /// The peer has reset it; it ends when what came before is read.
    pub(crate) ending: bool,
}

impl StreamState {
    fn new() -> Self {
        Self {
            inbound: InboundStream::default(),
            next_ssn: 0,
            unordered: false,
            limit: Limit::None,
            buffered: 0,
            low_threshold: 0,
            readable: true,
            writable: true,
            told: false,
            ending: false,
        }
    }
}

/// Streams by identifier, found by an index and not by a hash: each packet looks here.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    index: Vec<u16>,
    places: Vec<Option<StreamState>>,
    open: usize,
}

impl Streams {
    pub(crate) fn get(&self, id: u16) -> Option<&StreamState> {
        let place = *self.index.get(usize::from(id))?;
        self.places.get(usize::from(place))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u16) -> Option<&mut StreamState> {
        let place = *self.index.get(usize::from(id))?;
        self.places.get_mut(usize::from(place))?.as_mut()
    }

    /// `None`: there are as many as there may be.
    pub(crate) fn open(&mut self, id: u16) -> Option<&mut StreamState> {
        if self.open >= MAX_STREAMS || usize::from(id) >= usize::from(NONE) {
            return None;
        }
        let place = self.places.iter().position(Option::is_none).unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        if self.index.len() <= usize::from(id) {
            self.index.resize(usize::from(id) + 1, NONE);
        }
        *self.index.get_mut(usize::from(id))? = u16::try_from(place).ok()?;
        self.open += 1;
        let slot = self.places.get_mut(place)?;
        Some(slot.insert(StreamState::new()))
    }

    pub(crate) fn remove(&mut self, id: u16) -> Option<StreamState> {
        let place = std::mem::replace(self.index.get_mut(usize::from(id))?, NONE);
        let state = self.places.get_mut(usize::from(place))?.take()?;
        self.open -= 1;
        Some(state)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &StreamState> {
        self.places.iter().flatten()
    }
}
