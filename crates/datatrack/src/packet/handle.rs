use std::fmt;
use std::num::NonZeroU16;

use thiserror::Error;

/// The number of a track in packets: 1 to 65,535.
///
/// Publishers choose their own handles (1, 2, 3 …). An ended track's handle is used again only when no other is left.
/// The SFU assigns other handles to each subscriber and rewrites the packets that it forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(NonZeroU16);

/// Why a number is not a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HandleError {
    /// Zero is not a handle.
    #[error("0 is no track handle")]
    Zero,
    /// Handles have 16 bits.
    #[error("{0} is no track handle: the largest is 65535")]
    TooLarge(u32),
}

impl Handle {
    /// The handle of that number; `None` for zero.
    #[inline]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, never zero.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl TryFrom<u16> for Handle {
    type Error = HandleError;

    fn try_from(number: u16) -> Result<Self, HandleError> {
        Self::new(number).ok_or(HandleError::Zero)
    }
}

impl TryFrom<u32> for Handle {
    type Error = HandleError;

    fn try_from(number: u32) -> Result<Self, HandleError> {
        u16::try_from(number).map_err(|_| HandleError::TooLarge(number))?.try_into()
    }
}

impl From<Handle> for u16 {
    fn from(handle: Handle) -> Self {
        handle.get()
    }
}

impl From<Handle> for u32 {
    fn from(handle: Handle) -> Self {
        Self::from(handle.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_1_to_65535_are_handles() {
        assert_eq!(Handle::new(0), None);
        assert_eq!(Handle::try_from(0_u16), Err(HandleError::Zero));
        assert_eq!(Handle::try_from(0_u32), Err(HandleError::Zero));
        assert_eq!(Handle::try_from(65_536_u32), Err(HandleError::TooLarge(65_536)));
        for number in [1, 255, 65_535_u16] {
            let handle = Handle::try_from(u32::from(number)).ok();
            assert_eq!(handle, Handle::new(number));
            assert_eq!(handle.map(u16::from), Some(number));
            assert_eq!(handle.map(|handle| handle.to_string()), Some(number.to_string()));
        }
    }
}
