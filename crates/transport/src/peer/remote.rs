//! What the other side says about itself: its ufrag and its candidates. Each has a bound, because the other side may
//! send any amount.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::PathKind;

/// Candidates that are taken from the other side with one ufrag. A server has a handful. Each one is tried from each
/// local address.
const MAX_CANDIDATES: usize = 64;

/// Largest candidate, in bytes: well above a candidate with the longest possible host name.
pub(crate) const MAX_CANDIDATE: usize = 1_024;

/// Largest description, in bytes: twice the size of one with the most sections for audio, which take 1 KiB each.
pub(crate) const MAX_DESCRIPTION: usize = 524_288;

/// The prefixes of a candidate and of the ufrag in a description's line.
const CANDIDATE: &str = "candidate:";
const UFRAG: &str = "a=ice-ufrag:";

/// The candidates that were taken since the other side last changed its ufrag.
#[derive(Debug, Default)]
pub(super) struct Remote {
    ufrag: String,
    /// How often the other side has set its ufrag: once, and again with each restart of ICE.
    sessions: u32,
    /// The candidates' texts. A candidate that comes again changes nothing.
    taken: Vec<String>,
    addresses: Vec<(SocketAddr, PathKind)>,
}

impl Remote {
    /// Takes a remote description. Returns the description without the surplus candidates, and the new candidates.
    /// Returns `None` if the description is too large.
    pub(super) fn describe<'a>(&mut self, sdp: &'a str) -> Option<(Cow<'a, str>, Vec<&'a str>)> {
        if sdp.len() > MAX_DESCRIPTION {
            return None;
        }
        let ufrag = sdp.lines().find_map(|line| line.trim().strip_prefix(UFRAG)).unwrap_or_default();
        if ufrag != self.ufrag {
            let (ufrag, sessions) =
                (ufrag.chars().take(MAX_CANDIDATE).collect(), self.sessions.saturating_add(1));
            *self = Self { ufrag, sessions, ..Self::default() };
        }
        let mut new = Vec::new();
        let mut without = String::new();
        for line in sdp.split_inclusive('\n') {
            let candidate = line.trim().strip_prefix("a=").filter(|line| line.starts_with(CANDIDATE));
            match candidate {
                Some(candidate) if self.take(candidate) => new.push(candidate),
                Some(_) => continue,
                None => {}
            }
            without.push_str(line);
        }
        let sdp = if without.len() == sdp.len() { Cow::Borrowed(sdp) } else { Cow::Owned(without) };
        Some((sdp, new))
    }

    /// How often the other side has begun an ICE session.
    pub(super) const fn sessions(&self) -> u32 {
        self.sessions
    }

    /// Whether the candidate is new and within the bound.
    pub(super) fn take(&mut self, candidate: &str) -> bool {
        let taken = candidate.len() <= MAX_CANDIDATE
            && self.taken.len() < MAX_CANDIDATES
            && !self.taken.iter().any(|taken| taken == candidate);
        if taken {
            self.taken.push(candidate.to_owned());
        }
        taken
    }

    /// Notes the address of a candidate that was taken. There are no more addresses than taken candidates.
    pub(super) fn note(&mut self, address: SocketAddr, kind: PathKind) {
        self.addresses.push((address, kind));
    }

    /// The kind of that address, as the other side described it.
    pub(super) fn kind_of(&self, address: SocketAddr) -> PathKind {
        let noted = self.addresses.iter().rev().find(|(noted, _)| *noted == address);
        noted.map_or(PathKind::PeerReflexive, |&(_, kind)| kind)
    }

    /// Keeps a candidate that comes before the first description, unless there are too many.
    pub(super) fn keep_early(early: &mut Vec<String>, candidate: &str) {
        if early.len() < MAX_CANDIDATES && candidate.len() <= MAX_CANDIDATE {
            early.push(candidate.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn candidate(port: usize) -> String {
        format!("candidate:1 1 udp 1 10.0.0.1 {port} typ host")
    }

    #[test]
    fn candidates_are_taken_up_to_a_bound_and_anew_with_each_ufrag() {
        let mut remote = Remote::default();
        let many: String = (0..500).map(|port| format!("a={}\r\n", candidate(port))).collect();
        for ufrag in ["one", "two"] {
            let sdp = format!("v=0\r\na=ice-ufrag:{ufrag}\r\n{many}a=end-of-candidates\r\n");
            let (kept, new) = remote.describe(&sdp).unwrap();
            assert_eq!((new.len(), kept.matches(CANDIDATE).count()), (MAX_CANDIDATES, MAX_CANDIDATES));
            assert!(kept.starts_with("v=0\r\na=ice-ufrag:") && kept.ends_with("a=end-of-candidates\r\n"));
            assert!(!remote.take(&candidate(1_000)), "{ufrag}");
            let (kept, new) = remote.describe(&sdp).unwrap();
            assert_eq!((new.len(), kept.matches(CANDIDATE).count()), (0, 0));
        }
    }

    #[test]
    fn one_that_comes_again_is_taken_once() {
        let mut remote = Remote::default();
        assert!(remote.take(&candidate(1)) && !remote.take(&candidate(1)) && remote.take(&candidate(2)));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let mut remote = Remote::default();
        assert!(remote.describe(&"v".repeat(MAX_DESCRIPTION)).is_some());
        assert!(remote.describe(&"v".repeat(MAX_DESCRIPTION + 1)).is_none());
        assert!(!remote.take(&"c".repeat(MAX_CANDIDATE + 1)));
        let mut early = Vec::new();
        for port in 0..100 {
            Remote::keep_early(&mut early, &"c".repeat(MAX_CANDIDATE + 1));
            Remote::keep_early(&mut early, &candidate(port));
        }
        assert_eq!(early.len(), MAX_CANDIDATES);
    }
}
