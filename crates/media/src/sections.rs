//! Which sections the next offer has.
//!
//! A session description has a section for each track that a peer connection carries. The server cannot add a section:
//! it says how many new ones it needs, and this side offers them. A section whose track has left is used again. One
//! offer is made at a time, and what is wanted meanwhile goes into the next one.

/// The most sections for audio in one connection. Each is some 700 bytes of each later description. A mixer of a large
/// meeting hears a hundred tracks.
pub const MAX_AUDIO_SECTIONS: usize = 256;

/// After so many offers in a row with new sections that the server left unused, and after which it asked for more, it
/// gets no more of them.
///
/// livekit-server 1.13.5 counts tracks that have no section yet. It goes on to count a track that was unsubscribed from
/// or unpublished before its section was offered: no section fits it any more. So it asks for another one after each
/// answer, without end. What it asks for is honoured a few times, because a track that does need a section must get it.
const MOST_FRUITLESS: u32 = 3;

/// What the next offer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// All sections for receiving audio, those that there are and new ones.
    pub audio: usize,
}

/// What is new in an offer.
#[derive(Debug, Clone, Copy, Default)]
struct New {
    receiving: usize,
    sending: usize,
}

/// The sections for audio that this side offers.
#[derive(Debug, Default)]
pub struct Sections {
    /// Sections for receiving that the server has answered.
    agreed: usize,
    /// New sections in the offer that has no answer yet.
    offered: Option<New>,
    /// New sections for receiving that the next offer has to have.
    wanted: usize,
    /// New sections for sending in the next offer.
    sending: usize,
    /// Whether the server waits for an offer.
    due: bool,
    /// Whether nothing was required since the last answer. The server says directly after it what it lacks in all.
    answered: bool,
    /// Whether new sections of the last offer were left unused.
    unused: bool,
    /// See [`MOST_FRUITLESS`].
    fruitless: u32,
    /// Sections that the server asks for in vain.
    vain: usize,
}

impl Sections {
    /// The server needs an offer with so many new sections. With none, it needs an offer with the sections that there
    /// are: a track is to go into a free one, or has left one.
    ///
    /// `videos` are not offered. If the server wants only those, it gets no offer.
    pub fn require(&mut self, audios: u32, videos: u32) {
        if audios == 0 && videos > 0 {
            return;
        }
        let audios = usize::try_from(audios).unwrap_or(usize::MAX);
        match self.without_vain(audios) {
            0 if audios > 0 => {}
            needed => self.want(needed),
        }
    }

    /// How many of the new sections that the server asks for it can use.
    fn without_vain(&mut self, audios: usize) -> usize {
        if !std::mem::take(&mut self.answered) || audios == 0 {
            return audios;
        }
        if self.unused {
            self.fruitless = self.fruitless.saturating_add(1);
            self.vain = audios;
        }
        if self.fruitless < MOST_FRUITLESS {
            return audios;
        }
        self.vain = self.vain.min(audios);
        audios - self.vain
    }

    fn want(&mut self, audios: usize) {
        let used = self.used();
        let free = MAX_AUDIO_SECTIONS.saturating_sub(used + self.wanted);
        self.wanted += audios.min(free);
        // An offer without a section and without a change cannot be made.
        self.due |= used + self.wanted > 0;
    }

    /// What the server asked for may have been lost, with the connection for signalling. So the next offer has free
    /// sections for `missing` more tracks; `used` tracks have one.
    pub fn recover(&mut self, missing: usize, used: usize) {
        let all = self.used() + self.wanted;
        let lacking = missing.saturating_sub(all.saturating_sub(used));
        self.want(lacking);
    }

    /// The tracks that this side sends have changed. The next offer has so many new sections for them.
    pub const fn change_sending(&mut self, new: usize) {
        self.sending = new;
        self.due = true;
    }

    /// The offer that is to be made now, if there is one. It has to be made.
    #[must_use]
    pub fn poll_offer(&mut self) -> Option<Plan> {
        if self.offered.is_some() || !self.due {
            return None;
        }
        Some(self.offer())
    }

    /// An offer is made for another reason, and takes the place of the one that has no answer. It carries what the
    /// sections need, too.
    ///
    /// `None`: the one without an answer has new sections. The server may have taken it, or not. In another offer these
    /// sections would have other names, and a server that has taken the first ones would send into them. So only a new
    /// connection helps.
    #[must_use]
    pub fn replace_offer(&mut self) -> Option<Plan> {
        if self.offered.is_some_and(|new| new.receiving + new.sending > 0) {
            return None;
        }
        Some(self.offer())
    }

    fn offer(&mut self) -> Plan {
        self.due = false;
        let receiving = std::mem::take(&mut self.wanted);
        self.offered = Some(New { receiving, sending: std::mem::take(&mut self.sending) });
        Plan { audio: self.agreed + receiving }
    }

    /// The answer to the offer was taken. `filled`: new sections for receiving of which it names the track.
    pub fn handle_answered(&mut self, filled: usize) {
        let new = self.offered.take().unwrap_or_default().receiving;
        self.agreed += new;
        self.answered = true;
        self.unused = filled < new;
        if new > 0 && !self.unused {
            (self.fruitless, self.vain) = (0, 0);
        }
    }

    /// There was nothing to agree on, so no offer was made.
    pub fn handle_nothing_new(&mut self) {
        self.agreed += self.offered.take().unwrap_or_default().receiving;
    }

    /// Sections for receiving, those in the offer without an answer among them.
    fn used(&self) -> usize {
        self.agreed + self.offered.unwrap_or_default().receiving
    }

    /// Whether there are no sections for receiving, and will be none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used() + self.wanted == 0
    }

    /// Whether an offer has no answer yet.
    #[must_use]
    pub fn is_offering(&self) -> bool {
        self.offered.is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_wanted_during_an_offer_goes_into_the_next_one() {
        let mut sections = Sections::default();
        assert_eq!(sections.poll_offer(), None);
        sections.require(1, 0);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 1 }));
        sections.require(2, 0);
        sections.require(0, 0);
        assert_eq!(sections.poll_offer(), None);
        sections.handle_answered(usize::MAX);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 3 }));
        sections.handle_answered(usize::MAX);
        assert_eq!(sections.poll_offer(), None);
        sections.require(0, 0);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 3 }));
    }

    #[test]
    fn an_offer_for_another_reason_carries_what_is_wanted() {
        let mut sections = Sections::default();
        assert_eq!(sections.replace_offer(), Some(Plan { audio: 0 }));
        assert_eq!(sections.replace_offer(), Some(Plan { audio: 0 }));
        sections.require(3, 0);
        assert_eq!(sections.replace_offer(), Some(Plan { audio: 3 }));
        sections.handle_answered(usize::MAX);
        sections.require(0, 0);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 3 }));
        assert_eq!(sections.replace_offer(), Some(Plan { audio: 3 }));
    }

    #[test]
    fn an_offer_with_new_sections_cannot_be_replaced() {
        let mut sections = Sections::default();
        sections.require(1, 0);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 1 }));
        assert_eq!(sections.replace_offer(), None);
        sections.handle_answered(usize::MAX);
        assert_eq!(sections.replace_offer(), Some(Plan { audio: 1 }));
    }

    #[test]
    fn what_may_have_been_lost_is_offered_again() {
        let mut sections = Sections::default();
        sections.recover(0, 0);
        assert_eq!(sections.poll_offer(), None);
        sections.recover(2, 0);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 2 }));
        sections.handle_answered(usize::MAX);
        // Of the two sections one is free.
        sections.recover(1, 1);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 2 }));
        sections.handle_answered(usize::MAX);
        sections.recover(3, 1);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 4 }));
        sections.handle_answered(usize::MAX);
        sections.recover(usize::MAX, usize::MAX);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: MAX_AUDIO_SECTIONS }));
    }

    #[test]
    fn a_change_of_what_is_sent_needs_an_offer_and_new_sections_cannot_be_replaced() {
        let mut sections = Sections::default();
        sections.change_sending(1);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 0 }));
        assert_eq!(sections.replace_offer(), None);
        sections.change_sending(1);
        sections.require(1, 0);
        assert_eq!(sections.poll_offer(), None);
        sections.handle_answered(usize::MAX);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 1 }));
        sections.handle_answered(usize::MAX);
        assert_eq!(sections.poll_offer(), None);
        // Without new ones, as when a track ends.
        sections.change_sending(0);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 1 }));
        assert_eq!(sections.replace_offer(), Some(Plan { audio: 1 }));
    }

    #[test]
    fn without_audio_the_server_gets_no_offer() {
        let mut sections = Sections::default();
        for (audios, videos) in [(0, 0), (0, 1), (0, u32::MAX)] {
            sections.require(audios, videos);
        }
        assert!(sections.is_empty());
        assert_eq!(sections.poll_offer(), None);
    }

    /// As livekit-server does after a track was unsubscribed from before its section was offered.
    #[test]
    fn a_server_that_asks_for_ever_gets_a_few_sections_and_then_no_offer() {
        let mut sections = Sections::default();
        sections.require(1, 0);
        assert_eq!(MOST_FRUITLESS, 3);
        for audio in 1..=3 {
            assert_eq!(sections.poll_offer(), Some(Plan { audio }));
            sections.handle_answered(0);
            sections.require(1, 0);
        }
        assert_eq!(sections.poll_offer(), None);
        // A track goes into one of these sections. What the server asks for after the answer is in vain still.
        for _ in 0..10 {
            sections.require(0, 0);
            assert_eq!(sections.poll_offer(), Some(Plan { audio: 3 }));
            sections.handle_answered(0);
            sections.require(1, 0);
            assert_eq!(sections.poll_offer(), None);
        }
        // Two more tracks need a section each, one of them while the offer for the other one is under way.
        sections.require(1, 0);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 4 }));
        sections.require(1, 0);
        sections.handle_answered(1);
        sections.require(2, 0);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: 7 }));
        sections.handle_answered(1);
        sections.require(1, 0);
        let more = std::iter::from_fn(|| {
            let plan = sections.poll_offer()?;
            sections.handle_answered(0);
            sections.require(1, 0);
            Some(plan.audio)
        });
        assert_eq!(more.collect::<Vec<_>>(), [8, 9]);
    }

    #[test]
    fn an_unused_section_is_no_reason_to_offer_no_other_one() {
        let mut sections = Sections::default();
        for audio in 1..20 {
            sections.require(1, 0);
            assert_eq!(sections.poll_offer(), Some(Plan { audio }));
            sections.handle_answered(audio % 2);
        }
    }

    #[test]
    fn sections_are_bounded() {
        let mut sections = Sections::default();
        for audios in [200, 200, u32::MAX] {
            sections.require(audios, 0);
        }
        assert_eq!(sections.poll_offer(), Some(Plan { audio: MAX_AUDIO_SECTIONS }));
        sections.require(u32::MAX, 0);
        sections.handle_answered(usize::MAX);
        assert_eq!(sections.poll_offer(), Some(Plan { audio: MAX_AUDIO_SECTIONS }));
    }

    /// A server as livekit-server is: it says how many new sections it needs beyond those that it has seen offered, and
    /// gives free sections to tracks at each offer.
    #[derive(Debug, Default)]
    struct Server {
        sections: usize,
        tracks: usize,
        /// New sections that it has required and not seen.
        required: usize,
        waiting: bool,
    }

    impl Server {
        fn change(&mut self, tracks: usize) -> (u32, u32) {
            self.tracks = tracks;
            let missing = tracks.saturating_sub(self.sections + self.required);
            self.required += missing;
            self.waiting = true;
            (u32::try_from(missing).unwrap(), 0)
        }

        fn answer(&mut self, plan: Plan) {
            self.required = self.required.saturating_sub(plan.audio - self.sections);
            self.sections = plan.audio;
            self.waiting = false;
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// So many tracks are to be sent from now on.
        Tracks(usize),
        /// The offer under way reaches the server and its answer this side.
        Answer,
        /// ICE restarts.
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0usize..12).prop_map(Step::Tracks),
            Just(Step::Answer),
            Just(Step::Answer),
            Just(Step::Restart),
        ]
    }

    proptest! {
        /// After any history, as soon as the offers are answered, each track has a section, and no offer is left to be
        /// made. There are never more sections than there were tracks at once, counting those that a requirement named
        /// and that left before the offer.
        #[test]
        fn each_track_gets_a_section(steps in proptest::collection::vec(step(), 0..80)) {
            let (mut sections, mut server) = (Sections::default(), Server::default());
            let mut offer: Option<Plan> = None;
            let mut most = 0;
            for step in steps {
                match step {
                    Step::Tracks(tracks) => {
                        most = most.max(tracks);
                        let (audios, videos) = server.change(tracks);
                        sections.require(audios, videos);
                    }
                    Step::Answer => {
                        if let Some(plan) = offer.take() {
                            server.answer(plan);
                            sections.handle_answered(usize::MAX);
                        }
                    }
                    Step::Restart => match sections.replace_offer() {
                        Some(plan) => offer = Some(plan),
                        // The connection is rebuilt, and the server sends the same tracks by the new one.
                        None => {
                            (sections, offer) = (Sections::default(), None);
                            let tracks = server.tracks;
                            server = Server::default();
                            let (audios, videos) = server.change(tracks);
                            sections.require(audios, videos);
                        }
                    },
                }
                if let Some(plan) = sections.poll_offer() {
                    prop_assert!(offer.is_none(), "two offers at once");
                    offer = Some(plan);
                }
            }
            for _ in 0..3 {
                if let Some(plan) = offer.take() {
                    server.answer(plan);
                    sections.handle_answered(usize::MAX);
                }
                offer = sections.poll_offer();
            }
            prop_assert!(offer.is_none() && !sections.is_offering());
            prop_assert!(server.sections >= server.tracks, "{} tracks, {:?}", server.tracks, sections);
            prop_assert!(server.sections <= most, "{} tracks at most, {:?}", most, sections);
            prop_assert!(!server.waiting || server.sections == 0);
        }
    }
}
