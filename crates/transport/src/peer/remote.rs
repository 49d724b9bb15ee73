//! What the other side says of itself, as far as it is taken: it may say as much as it likes.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::PathKind;

/// Candidates of the other side that are taken with one of its ufrags. A server has a handful; each one is tried from each
/// local address.
const MAX_CANDIDATES: usize = 64;

/// Bytes of a candidate: well above what the longest name of a host makes of one.
const MAX_CANDIDATE: usize = 1_024;

/// Bytes of a description: a hundred times a server's that has nothing but data channels.
const MAX_DESCRIPTION: usize = 262_144;

/// What of a description's line is a candidate, and what is the ufrag.
const CANDIDATE: &str = "candidate:";
const UFRAG: &str = "a=ice-ufrag:";

/// The candidates that were taken since the other side changed its ufrag.
#[derive(Debug, Default)]
pub(super) struct Remote {
    ufrag: String,
    /// Their texts: one that comes again changes nothing.
    taken: Vec<String>,
    addresses: Vec<(SocketAddr, PathKind)>,
}

impl Remote {
    /// A description comes. Returns it without the candidates that are too many, and those that are new; `None` if it is
    /// too large.
    pub(super) fn describe<'a>(&mut self, sdp: &'a str) -> Option<(Cow<'a, str>, Vec<&'a str>)> {
        if sdp.len() > MAX_DESCRIPTION {
            return None;
        }
        let ufrag = sdp.lines().find_map(|line| line.trim().strip_prefix(UFRAG)).unwrap_or_default();
        if ufrag != self.ufrag {
            *self = Self { ufrag: ufrag.chars().take(MAX_CANDIDATE).collect(), ..Self::default() };
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

    /// Whether that candidate is new, and not one too many.
    pub(super) fn take(&mut self, candidate: &str) -> bool {
        let taken = candidate.len() <= MAX_CANDIDATE
            && self.taken.len() < MAX_CANDIDATES
            && !self.taken.iter().any(|taken| taken == candidate);
        if taken {
            self.taken.push(candidate.to_owned());
        }
        taken
    }

    /// A candidate that was taken is at that address. There are no more than those.
    pub(super) fn note(&mut self, address: SocketAddr, kind: PathKind) {
        self.addresses.push((address, kind));
    }

    /// What the address is to the other side.
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
