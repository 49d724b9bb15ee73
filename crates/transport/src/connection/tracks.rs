//! Which audio track each section of a peer connection carries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use datatrack_media::{MAX_AUDIO_SECTIONS, Packet};

use crate::hearing::Hearing;
use crate::peer::Section;

/// The tracks of a peer connection, and their readers.
#[derive(Debug)]
pub(super) struct Tracks {
    hearing: Arc<Hearing>,
    sids: HashMap<Section, Box<str>>,
}

impl Tracks {
    pub(super) fn new(hearing: Arc<Hearing>) -> Self {
        Self { hearing, sids: HashMap::new() }
    }

    /// Takes the server's list of all tracks that it sends: each with its section's `mid`. Those that are too many are
    /// not heard.
    pub(super) fn set(&mut self, tracks: Vec<(String, String)>) {
        let before = std::mem::take(&mut self.sids);
        for (mid, sid) in tracks.into_iter().take(MAX_AUDIO_SECTIONS) {
            let section = Section::from(&*mid);
            if before.get(&section).map(|sid| &**sid) != Some(&*sid) {
                self.hearing.handle_restart(&sid);
            }
            self.sids.insert(section, sid.into());
        }
    }

    /// How many tracks there are.
    pub(super) fn len(&self) -> usize {
        self.sids.len()
    }

    /// Whether the section has a track.
    pub(super) fn has(&self, section: Section) -> bool {
        self.sids.contains_key(&section)
    }

    pub(super) fn handle_packet(&self, section: Section, packet: &Packet, now: Instant) {
        if let Some(sid) = self.sids.get(&section) {
            self.hearing.handle_packet(sid, packet, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tracks_of_a_description_are_bounded_and_replace_those_before() {
        let mut tracks = Tracks::new(Arc::default());
        tracks.set((0..2_000).map(|mid| (mid.to_string(), format!("TR_{mid}"))).collect());
        assert_eq!(tracks.len(), MAX_AUDIO_SECTIONS);
        tracks.set(vec![("1".to_owned(), "TR_x".to_owned())]);
        assert_eq!(tracks.sids.get(&Section::from("1")).map(|sid| &**sid), Some("TR_x"));
        assert_eq!(tracks.sids.len(), 1);
    }
}
