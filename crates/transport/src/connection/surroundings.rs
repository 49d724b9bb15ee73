use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

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
    /// By the clock on the wall: on some systems the other one stands still while the machine sleeps.
    wall: SystemTime,
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

    /// Looks, if it is time, after the path to `remote`. `route` tells by which address the machine would reach it.
    /// Returns whether the path is lost, as far as can be told from here.
    pub(super) fn look(
        &mut self,
        remote: SocketAddr,
        now: Instant,
        wall: SystemTime,
        route: impl FnOnce(SocketAddr) -> Option<IpAddr>,
    ) -> bool {
        if self.next().is_some_and(|next| now < next) {
            return false;
        }
        let slept = self.looked.replace(Look { at: now, wall }).is_some_and(|before| {
            let by_wall = wall.duration_since(before.wall).unwrap_or_default();
            now.saturating_duration_since(before.at).max(by_wall) > LOOK + SLEPT
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

    const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 7882);

    fn address(last: u8) -> Option<IpAddr> {
        Some([10, 0, 0, last].into())
    }

    /// Looks each two seconds; the answers are the routes at those times.
    fn run(routes: &[Option<IpAddr>]) -> Vec<bool> {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let mut surroundings = Surroundings::default();
        (0..)
            .zip(routes)
            .map(|(index, &route)| {
                let since = index * LOOK;
                surroundings.look(SERVER.into(), start + since, wall + since, |_| route)
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
        let (start, wall) = (Instant::now(), SystemTime::now());
        let mut surroundings = Surroundings::default();
        let other = SocketAddr::from(([192, 0, 2, 9], 1));
        assert!(!surroundings.look(SERVER.into(), start, wall, |_| address(1)));
        assert!(!surroundings.look(other, start + LOOK, wall + LOOK, |_| address(2)));
    }

    #[test]
    fn a_machine_that_slept_is_told() {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let hour = Duration::from_secs(3_600);
        // Whichever clock goes on meanwhile.
        for (stopped, gone_on) in [(LOOK, hour), (hour, hour), (hour, LOOK)] {
            let mut surroundings = Surroundings::default();
            assert!(!surroundings.look(SERVER.into(), start, wall, |_| address(1)));
            assert!(surroundings.look(SERVER.into(), start + stopped, wall + gone_on, |_| address(1)));
            let later = (start + stopped + LOOK, wall + gone_on + LOOK);
            assert!(!surroundings.look(SERVER.into(), later.0, later.1, |_| address(1)));
        }
        // A clock that is set back says nothing.
        let mut surroundings = Surroundings::default();
        assert!(!surroundings.look(SERVER.into(), start, wall, |_| address(1)));
        assert!(!surroundings.look(SERVER.into(), start + LOOK, wall - hour, |_| address(1)));
    }

    #[test]
    fn it_is_not_asked_more_often_than_needed() {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let mut surroundings = Surroundings::default();
        assert_eq!(surroundings.next(), None);
        assert!(!surroundings.look(SERVER.into(), start, wall, |_| address(1)));
        assert_eq!(surroundings.next(), Some(start + LOOK));
        let asked = |_| -> Option<IpAddr> { unreachable!("too early") };
        assert!(!surroundings.look(SERVER.into(), start + LOOK / 2, wall, asked));
        surroundings.forget();
        assert_eq!(surroundings.next(), None);
    }
}
