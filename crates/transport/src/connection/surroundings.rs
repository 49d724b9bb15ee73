use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How often one looks: a few system calls, and a change costs so much at most.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// A gap between two looks after which the machine is taken to have slept. By then the other side has given the path up,
/// or is about to, and a router on the way may have forgotten it.
const SLEPT: Duration = Duration::from_secs(10);

/// What is around a peer connection: by which address the machine reaches the other side, and whether it slept.
///
/// ICE would notice that a path is dead by itself, but only after some twenty seconds without an answer.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// The other side's address and the one that it is reached from.
    route: Option<(SocketAddr, IpAddr)>,
    looked: Option<Look>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    /// By [`since_boot`].
    boot: Option<Duration>,
}

/// A clock that goes on while the machine sleeps, as `Instant` does not everywhere; `None` where `Instant` does, or where
/// there is no such clock. Not the one on the wall: that one is set, by hand or by a time server, and no path is lost by it.
pub(super) fn since_boot() -> Option<Duration> {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const CLOCK: ClockId = ClockId::Boottime;
        // Apple's goes on while the machine sleeps; `Instant` is another one there.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const CLOCK: ClockId = ClockId::Monotonic;
        let time = clock_gettime(CLOCK);
        Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
    }
    #[cfg(not(unix))]
    None
}

impl Surroundings {
    /// When one should look next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.looked.map(|look| look.at + LOOK)
    }

    /// There is no path now, so nothing to look after.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Looks, if it is time, after the path to `remote`. `boot` is [`since_boot`] at that time; `route` tells by which address the machine would reach it.
    /// Returns whether the path is lost, as far as can be told from here.
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
        // Without a route there is nothing to go over to: it may come back as it was, and else another one comes.
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

    /// Looks each two seconds; the answers are the routes at those times.
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
        // Whichever clock goes on meanwhile.
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
        // Without a clock of that kind the other one decides.
        for (length, slept) in [(LOOK, false), (hour, true)] {
            let mut surroundings = Surroundings::default();
            assert!(!surroundings.look(SERVER.into(), start, None, |_| address(1)));
            assert_eq!(surroundings.look(SERVER.into(), start + length, None, |_| address(1)), slept);
        }
        // A clock that goes back says nothing.
        let mut surroundings = Surroundings::default();
        assert!(!surroundings.look(SERVER.into(), start, boot, |_| address(1)));
        assert!(
            !surroundings.look(SERVER.into(), start + LOOK, boot.map(|boot| boot - hour), |_| address(1))
        );
    }

    /// The wall's clock says the time since 1970. No machine is up for that long, and who sets it does not set this one.
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
