//! What a peer or a server can cause again and again fills no disk: records of one place in the code are limited.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;

/// Records of one place in the code that are told in each [`WINDOW`]. They are enough to see what happens. A peer can
/// cause a record with each datagram.
pub(super) const MAX_ALIKE: u32 = 10;

/// See [`MAX_ALIKE`].
const WINDOW: Duration = Duration::from_secs(60);

/// Counts the records of each place. There are as many as the code has, so their number is no peer's choice.
#[derive(Debug)]
pub(super) struct Limits<K = Identifier> {
    places: HashMap<K, Place>,
}

#[derive(Debug)]
struct Place {
    /// When its window began, and how many were told since.
    start: Instant,
    told: u32,
    /// How many were left out since that was told.
    left_out: u64,
}

impl<K> Default for Limits<K> {
    fn default() -> Self {
        Self { places: HashMap::new() }
    }
}

impl<K: std::hash::Hash + Eq> Limits<K> {
    /// Whether a record of that place is told. With it goes how many like it were left out before.
    ///
    /// Besides the first ones of a window, the tenth, hundredth … of those left out is told. A flood that ends is not
    /// followed by a record that could say how large it was.
    pub(super) fn admit(&mut self, place: K, now: Instant) -> Option<u64> {
        let place = self.places.entry(place).or_insert(Place { start: now, told: 0, left_out: 0 });
        if now.saturating_duration_since(place.start) >= WINDOW {
            place.start = now;
            place.told = 0;
        }
        if place.told < MAX_ALIKE {
            place.told += 1;
            return Some(std::mem::take(&mut place.left_out));
        }
        place.left_out += 1;
        (place.left_out >= 10 && 10_u64.pow(place.left_out.ilog10()) == place.left_out)
            .then_some(place.left_out - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_tells_a_few_and_how_large_it_is() {
        let mut limits = Limits::default();
        let start = Instant::now();
        let told: Vec<u64> = (0..1_000_000).filter_map(|_| limits.admit("place", start)).collect();
        assert_eq!(told, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 99, 999, 9_999, 99_999]);
        // Other places have nothing to do with it.
        assert_eq!(limits.admit("other", start), Some(0));
        assert_eq!(limits.admit("place", start + WINDOW), Some(1_000_000 - u64::from(MAX_ALIKE)));
        assert_eq!(limits.admit("place", start + WINDOW), Some(0));
    }

    #[test]
    fn what_comes_now_and_then_is_told_each_time() {
        let mut limits = Limits::default();
        let start = Instant::now();
        for minute in 0..1_000 {
            for _ in 0..MAX_ALIKE {
                assert_eq!(limits.admit("place", start + minute * WINDOW), Some(0));
            }
        }
    }
}
