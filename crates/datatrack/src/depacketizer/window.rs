//! Which of the last frames are finished.

/// How many frame numbers back packets of a finished frame are recognised.
pub(super) const WINDOW: u16 = 1_024;

const WORDS: usize = WINDOW as usize / 64;

/// What happened to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is not finished, or that was too long ago to know.
    Unknown,
    /// It was completed.
    Completed,
    /// It was given up.
    GivenUp,
}

/// Two bits for each of the last 1,024 frame numbers, the newest one included.
///
/// A number outside of the window is a jump: the window moves there and forgets the rest. Frame numbers wrap in 66 s at
/// 1 kHz. An SFU that pauses a track may skip thousands of them. If every number "older than the newest" were dropped,
/// the stream would stay black for long.
#[derive(Debug)]
pub(super) struct Window {
    newest: Option<u16>,
    finished: [u64; WORDS],
    completed: [u64; WORDS],
}

impl Window {
    pub(super) const fn new() -> Self {
        Self { newest: None, finished: [0; WORDS], completed: [0; WORDS] }
    }

    /// What happened to frame `number`.
    #[inline]
    pub(super) fn fate(&self, number: u16) -> Fate {
        if !self.contains(number) {
            return Fate::Unknown;
        }
        let (word, bit) = place(number);
        match (self.finished.get(word), self.completed.get(word)) {
            (Some(finished), _) if finished & bit == 0 => Fate::Unknown,
            (_, Some(completed)) if completed & bit != 0 => Fate::Completed,
            _ => Fate::GivenUp,
        }
    }

    /// Moves the window so that it includes frame `number`. Returns whether that was a jump.
    #[inline]
    pub(super) fn observe(&mut self, number: u16) -> bool {
        let Some(newest) = self.newest else {
            self.newest = Some(number);
            return false;
        };
        let ahead = number.wrapping_sub(newest);
        if ahead > 0 && ahead < WINDOW {
            for step in 1..=ahead {
                self.clear(newest.wrapping_add(step));
            }
        } else if newest.wrapping_sub(number) < WINDOW {
            return false;
        } else {
            *self = Self::new();
        }
        self.newest = Some(number);
        !(1..WINDOW).contains(&ahead)
    }

    /// Notes whether frame `number` was completed, unless the window has moved past it.
    #[inline]
    pub(super) fn finish(&mut self, number: u16, completed: bool) {
        if !self.contains(number) {
            return;
        }
        let (word, bit) = place(number);
        if let (Some(finished), Some(complete)) = (self.finished.get_mut(word), self.completed.get_mut(word))
        {
            *finished |= bit;
            if completed {
                *complete |= bit;
            }
        }
    }

    #[inline]
    fn contains(&self, number: u16) -> bool {
        self.newest.is_some_and(|newest| newest.wrapping_sub(number) < WINDOW)
    }

    #[inline]
    fn clear(&mut self, number: u16) {
        let (word, bit) = place(number);
        if let (Some(finished), Some(completed)) = (self.finished.get_mut(word), self.completed.get_mut(word))
        {
            *finished &= !bit;
            *completed &= !bit;
        }
    }
}

/// Word and bit of a frame number. The window's length divides 2¹⁶, so this also holds when the number wraps.
#[inline]
const fn place(number: u16) -> (usize, u64) {
    ((number % WINDOW / 64) as usize, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(newest: u16, back: u16) -> Window {
        let mut window = Window::new();
        for step in (0..=back).rev() {
            let number = newest.wrapping_sub(step);
            window.observe(number);
            window.finish(number, true);
        }
        window
    }

    #[test]
    fn it_remembers_1024_numbers_across_the_wrap() {
        let window = filled(100, 2_000);
        for step in 0..1_024 {
            assert_eq!(window.fate(100_u16.wrapping_sub(step)), Fate::Completed, "{step} back");
        }
        assert_eq!(window.fate(100_u16.wrapping_sub(1_024)), Fate::Unknown);
        assert_eq!(window.fate(101), Fate::Unknown);
    }

    #[test]
    fn a_step_ahead_forgets_what_falls_out_only() {
        let mut window = filled(5_000, 1_023);
        assert!(!window.observe(5_010));
        assert_eq!(window.fate(5_010), Fate::Unknown);
        assert_eq!(window.fate(5_001), Fate::Unknown);
        assert_eq!(window.fate(5_000), Fate::Completed);
        assert_eq!(window.fate(5_010 - 1_023), Fate::Completed);
        assert_eq!(window.fate(5_010 - 1_024), Fate::Unknown);
    }

    #[test]
    fn completed_and_given_up_are_told_apart() {
        let mut window = filled(9, 3);
        window.observe(11);
        window.finish(10, false);
        assert_eq!(window.fate(9), Fate::Completed);
        assert_eq!(window.fate(10), Fate::GivenUp);
        assert_eq!(window.fate(11), Fate::Unknown);
    }

    #[test]
    fn a_jump_in_either_direction_forgets_all() {
        for jump in [1_024, 1_025, 32_767, 32_768, 32_769, 65_536 - 1_024] {
            let mut window = filled(7, 500);
            let number = 7_u16.wrapping_add(u16::try_from(jump).unwrap_or(0));
            assert!(window.observe(number), "{jump}");
            for other in 0..=u16::MAX {
                assert_eq!(window.fate(other), Fate::Unknown, "{other} after {jump}");
            }
        }
    }

    #[test]
    fn a_little_back_is_no_jump() {
        for back in [1, 2, 1_023] {
            let mut window = filled(7, 0);
            assert!(!window.observe(7_u16.wrapping_sub(back)));
            assert_eq!(window.fate(7), Fate::Completed);
            assert_eq!(window.fate(7_u16.wrapping_sub(back)), Fate::Unknown);
        }
    }

    #[test]
    fn what_the_window_left_behind_is_not_noted() {
        let mut window = filled(7, 0);
        window.observe(40_000);
        window.finish(8, true);
        for other in 0..=u16::MAX {
            assert_eq!(window.fate(other), Fate::Unknown);
        }
    }
}
