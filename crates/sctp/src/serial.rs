//! Serial number arithmetic (RFC 1982): numbers that wrap are compared by the shorter way around.

/// Whether TSN `a` comes before TSN `b`.
pub(crate) fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether TSN `a` comes after TSN `b`.
pub(crate) fn after(a: u32, b: u32) -> bool {
    before(b, a)
}

/// How far `to` is ahead of `from`; meaningful only where it is not before it.
pub(crate) fn distance(from: u32, to: u32) -> usize {
    to.wrapping_sub(from) as usize
}

/// A 16-bit stream sequence number as a number that does not wrap, next to `near`.
pub(crate) fn unwrap_ssn(ssn: u16, near: u64) -> u64 {
    let ahead = ssn.wrapping_sub(near as u16) as i16;
    near.wrapping_add_signed(i64::from(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_across_the_wrap() {
        assert!(before(u32::MAX, 0) && after(0, u32::MAX));
        assert!(before(5, 6) && !before(6, 6) && !after(6, 6));
        assert_eq!(distance(u32::MAX, 1), 2);
    }

    #[test]
    fn stream_numbers_go_on_after_the_wrap() {
        assert_eq!(unwrap_ssn(0, 65_535), 65_536);
        assert_eq!(unwrap_ssn(65_535, 65_536), 65_535);
        assert_eq!(unwrap_ssn(7, 3), 7);
    }
}
