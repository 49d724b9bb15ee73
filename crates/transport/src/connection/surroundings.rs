use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How often the route is checked. A check takes a few system calls. A change is noticed at most this much later.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// A gap between two checks after which the machine counts as having slept. By then the other side has given up the
/// path, or soon will, and a router on the path may have dropped its state.
const SLEPT: Duration = Duration::from_secs(10);

/// The surroundings of a peer connection: the local address from which the machine reaches the other side, and whether
/// the machine slept.
///
/// ICE would also notice a dead path, but only after some twenty seconds without an answer.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// The other side's address, and the local address from which it is reached.
    route: Option<(SocketAddr, IpAddr)>,
    looked: Option<Look>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    /// The time by [`since_boot`].
    boot: Option<Duration>,
}

/// Time since boot, by a clock that runs on while the machine sleeps. `Instant` does not run on everywhere. `None`
/// where `Instant` does, or where there is no such clock. It is not the wall clock: a user or a time server sets that
/// one, and such a change breaks no path.
pub(super) fn since_boot() -> Option<Duration> {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const CLOCK: ClockId = ClockId::Boottime;
        // Apple's monotonic clock runs on while the machine sleeps. `Instant` uses another clock there.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const CLOCK: ClockId = ClockId::Monotonic;
        let time = clock_gettime(CLOCK);
        Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
    }
    #[cfg(not(unix))]
    None
}

impl Surroundings {
    /// When the next check is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.looked.map(|look| look.at + LOOK)
    }

    /// Forgets the path: there is none now.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Checks the path to `remote` if a check is due. `boot` is [`since_boot`] at that time. `route` returns the local
    /// address from which the machine would reach `remote`. Returns whether the path is lost, as far as this side can
    /// tell.
    pub(super) fn look(
        &mut self,
        remote: SocketAddr,
        now: Instant,
        boot: Option<Duration>,
        route: impl FnOnce(SocketAddr) -> Option<IpAddr>,
    ) -> bool {
        if self.next().is_some_and(|next| now < next) {
            return false;
        }
        let slept = self.looked.replace(Look { at: now, boot }).is_some_and(|before| {
            let by_boot =
                boot.zip(before.boot).map_or(Duration::ZERO, |(now, then)| now.saturating_sub(then));
            now.saturating_duration_since(before.at).max(by_boot) > LOOK + SLEPT
        });
        // Without a route there is no other address to move to. The old route may come back, or a new one appears.
        let Some(local) = route(remote) else { return false };
        let moved = match self.route.replace((remote, local)) {
            Some((last, before)) => last == remote && before != local,
            None => false,
        };
        slept || moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 7882);

    fn address(last: u8) -> Option<IpAddr> {
        Some([10, 0, 0, last].into())
    }

    /// Checks every two seconds. `routes` holds the routes at those times.
    fn run(routes: &[Option<IpAddr>]) -> Vec<bool> {
        let (start, boot) = (Instant::now(), Some(DAY));
        let mut surroundings = Surroundings::default();
        (0..)
            .zip(routes)
            .map(|(index, &route)| {
                let since = index * LOOK;
                surroundings.look(SERVER.into(), start + since, boot.map(|boot| boot + since), |_| route)
            })
            .collect()
    }

    #[test]
    fn another_source_address_is_told_once() {
        assert_eq!(run(&[address(1), address(1), address(2), address(2)]), [false, false, true, false]);
        assert_eq!(run(&[address(1), address(2), address(1)]), [false, true, true]);
    }

    #[test]
    fn a_route_that_is_gone_is_waited_for() {
        assert_eq!(run(&[address(1), None, None, address(1)]), [false; 4]);
        assert_eq!(run(&[address(1), None, None, address(2)]), [false, false, false, true]);
    }

    #[test]
    fn a_path_to_another_address_is_another_path() {
        let (start, boot) = (Instant::now(), Some(DAY));
        let mut surroundings = Surroundings::default();
        let other = SocketAddr::from(([192, 0, 2, 9], 1));
        assert!(!surroundings.look(SERVER.into(), start, boot, |_| address(1)));
        assert!(!surroundings.look(other, start + LOOK, boot.map(|boot| boot + LOOK), |_| address(2)));
    }

    #[test]
    fn a_machine_that_slept_is_told() {
        let (start, boot) = (Instant::now(), Some(DAY));
        let hour = Duration::from_secs(3_600);
        // Either clock may have run on meanwhile.
        for (stopped, gone_on) in [(LOOK, hour), (hour, hour), (hour, LOOK)] {
            let mut surroundings = Surroundings::default();
            assert!(!surroundings.look(SERVER.into(), start, boot, |_| address(1)));
            assert!(surroundings.look(
                SERVER.into(),
                start + stopped,
                boot.map(|boot| boot + gone_on),
                |_| address(1)
            ));
            let later = (start + stopped + LOOK, boot.map(|boot| boot + gone_on + LOOK));
            assert!(!surroundings.look(SERVER.into(), later.0, later.1, |_| address(1)));
        }
        // Without that clock the other one decides.
        for (length, slept) in [(LOOK, false), (hour, true)] {
            let mut surroundings = Surroundings::default();
            assert!(!surroundings.look(SERVER.into(), start, None, |_| address(1)));
            assert_eq!(surroundings.look(SERVER.into(), start + length, None, |_| address(1)), slept);
        }
        // A clock that goes back proves nothing.
        let mut surroundings = Surroundings::default();
        assert!(!surroundings.look(SERVER.into(), start, boot, |_| address(1)));
        assert!(
            !surroundings.look(SERVER.into(), start + LOOK, boot.map(|boot| boot - hour), |_| address(1))
        );
    }

    /// The wall clock counts from 1970. No machine is up for that long. Setting the wall clock does not set this clock.
    #[test]
    fn the_clock_is_not_the_one_on_the_wall() {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        assert!(since_boot().is_none_or(|boot| wall.is_ok_and(|wall| boot < wall / 2)));
        assert_eq!(since_boot().is_some(), cfg!(unix));
        assert!(since_boot() <= since_boot());
    }

    #[test]
    fn it_is_not_asked_more_often_than_needed() {
        let (start, boot) = (Instant::now(), Some(DAY));
        let mut surroundings = Surroundings::default();
        assert_eq!(surroundings.next(), None);
        assert!(!surroundings.look(SERVER.into(), start, boot, |_| address(1)));
        assert_eq!(surroundings.next(), Some(start + LOOK));
        let asked = |_| -> Option<IpAddr> { unreachable!("too early") };
        assert!(!surroundings.look(SERVER.into(), start + LOOK / 2, boot, asked));
        surroundings.forget();
        assert_eq!(surroundings.next(), None);
    }
}
