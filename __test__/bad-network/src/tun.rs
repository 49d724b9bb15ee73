//! TUN devices in network namespaces: IP packets as they are, one for each read and write.
#![allow(unsafe_code, reason = "there is no other way to the kernel")]

use std::fs::{File, OpenOptions};
use std::io::{Error, Read as _, Result, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;

/// A device; it is gone when this is dropped.
pub(crate) struct Tun(File);

impl Tun {
    /// Makes a device of that name in a namespace of `ip netns`. The thread stays in that namespace.
    pub(crate) fn create(namespace: &str, name: &str) -> Result<Self> {
        let target = File::open(format!("/var/run/netns/{namespace}"))?;
        // SAFETY: takes a descriptor, which is open, and a number.
        if unsafe { libc::setns(target.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
            return Err(Error::last_os_error());
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")?;
        // SAFETY: a C struct of integers, for which zeros are valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.len() >= request.ifr_name.len() {
            return Err(Error::other("the name of a device has at most 15 bytes"));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        #[expect(clippy::cast_possible_truncation, reason = "both flags are in the lower half")]
        let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        request.ifr_ifru.ifru_flags = flags;
        // SAFETY: the descriptor is that of /dev/net/tun, and the request outlives the call.
        if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } < 0 {
            return Err(Error::last_os_error());
        }
        Ok(Self(file))
    }

    /// The next packet that was sent into the device; `None` when there is none.
    pub(crate) fn read<'a>(&self, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>> {
        match (&self.0).read(buffer) {
            Ok(length) => Ok(buffer.get(..length)),
            Err(error) if is_transient(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets the device receive a packet. What the kernel does not take is lost, as on any network.
    pub(crate) fn write(&self, packet: &[u8]) {
        let _ = (&self.0).write(packet);
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Nothing there, or the device is down (still, or since its namespace is being taken apart).
fn is_transient(error: &Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR | libc::EIO | libc::EBADFD))
}

/// Waits until one of them can be read, or for so long. Which one may be told by reading.
pub(crate) fn wait<const COUNT: usize>(
    descriptors: [BorrowedFd<'_>; COUNT],
    timeout: Option<std::time::Duration>,
) {
    let mut polled = descriptors.map(|descriptor| libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    let timeout = timeout.map(|duration| libc::timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the array and the time outlive the call, and the mask may be null.
    // An interrupted call is one that ended early: the caller looks at everything anyway.
    unsafe { libc::ppoll(polled.as_mut_ptr(), COUNT as libc::nfds_t, timeout, std::ptr::null()) };
}

/// Lets short waits be as short as they are asked to be: by default a thread sleeps up to 50 µs longer.
pub(crate) fn sleep_precisely() {
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// Reads without waiting afterwards.
pub(crate) fn set_nonblocking(descriptor: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: takes a descriptor, which is open, and numbers.
    let flags = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: as above.
    if flags < 0
        || unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) } < 0
    {
        return Err(Error::last_os_error());
    }
    Ok(())
}

/// Reads past any buffer of the standard library: what that has read already, `wait` would not see.
pub(crate) fn read<'a>(descriptor: BorrowedFd<'_>, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    // SAFETY: the buffer is writable for its whole length.
    let length = unsafe { libc::read(descriptor.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    let length = usize::try_from(length).map_err(|_| Error::last_os_error())?;
    Ok(buffer.get(..length).unwrap_or_default())
}
