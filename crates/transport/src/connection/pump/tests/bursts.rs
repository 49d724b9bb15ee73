//! Bursts of frames with pauses between them. No frame is lost, and none waits for a delayed acknowledgement.

use super::*;

/// Frames of a burst.
const COUNTS: [u32; 5] = [1, 2, 3, 10, 150];

/// Microseconds between two frames of a burst: 100, 500 and 2,000 frames a second.
const PERIODS: [u64; 3] = [10_000, 2_000, 500];

/// Milliseconds between two bursts: below and above SCTP's 200 ms for a delayed acknowledgement, below and above its
/// one second for a retransmission, and above the 0.4 s between ICE checks.
const PAUSES: [u64; 6] = [300, 700, 1_500, 3_000, 5_000, 10_000];

/// Bytes of a frame.
const SIZE: usize = 256;

/// How much later than the line alone requires a frame may arrive.
const LATE: Duration = Duration::from_millis(20);

/// Other traffic on the connection.
#[derive(Debug, Clone, Copy)]
struct Beside {
    protocol: Protocol,
    /// Whether the other side sends frames too. Then one connection carries both directions.
    single: bool,
    /// Whether messages are sent on `_reliable`.
    messages: bool,
}

impl World {
    /// Sends one burst. Each frame is pushed when it is due, to the millisecond.
    async fn burst(&mut self, count: u32, period: Duration, beside: Beside) {
        let start = self.now;
        for index in 0..count {
            let due = start + index * period;
            while self.now < due {
                self.beside(beside);
                self.step().await;
            }
            let mut payload = vec![0; SIZE];
            let pushed = u64::try_from(self.elapsed().as_micros()).unwrap();
            payload[..8].copy_from_slice(&pushed.to_be_bytes());
            self.link.push(self.track, &payload, None).unwrap();
        }
    }

    async fn pause(&mut self, length: Duration, beside: Beside) {
        let until = self.now + length;
        while self.now < until {
            self.beside(beside);
            self.step().await;
        }
    }

    /// Sends the other traffic, at intervals of which no period above is a multiple.
    fn beside(&mut self, beside: Beside) {
        let ms = self.elapsed().as_millis();
        if beside.messages && ms.is_multiple_of(613) {
            self.outgoing.get_mut().unwrap().push(ChannelKind::Reliable, "message".into()).unwrap();
        }
        if beside.single && ms.is_multiple_of(1_721) {
            self.receiver.write(ChannelKind::DataTrack, &[7; SIZE], self.now);
            self.receiver.flush(self.now);
        }
    }
}

/// Runs all bursts with all pauses on one connection.
async fn bursts(beside: Beside, rtt: Duration) {
    let mut world = Box::pin(World::over(beside.protocol, 10e6, rtt)).await;
    for pause in PAUSES {
        for period in PERIODS {
            for count in COUNTS {
                let label = format!("{count} each {period} µs after {pause} ms, {beside:?}");
                world.pause(Duration::from_millis(pause), beside).await;
                world.arrivals.clear();
                world.burst(count, Duration::from_micros(period), beside).await;
                world.pause(rtt + 2 * LATE, beside).await;
                assert_eq!(world.arrivals.len(), count as usize, "frames that came of {label}");
                let oldest = world.arrivals.iter().map(Arrival::age).max().unwrap();
                assert!(oldest <= rtt / 2 + LATE, "{oldest:?} on the way: {label}");
            }
        }
    }
    let stats = world.link.publisher(|publisher, _| publisher.track_stats(world.track)).unwrap();
    assert_eq!(stats.sent, stats.pushed, "{stats:?}");
}

macro_rules! bursts {
    ($($name:ident: $protocol:ident, $single:literal, $messages:literal;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let beside = Beside { protocol: Protocol::$protocol, single: $single, messages: $messages };
            // On a longer path the first burst of 2,000 frames a second would wait for SCTP's window to open.
            for rtt in [MS, 10 * MS] {
                Box::pin(bursts(beside, rtt)).await;
            }
        }
    )*};
}

bursts! {
    no_frame_of_a_burst_is_lost_with_one_connection: Udp, true, false;
    no_frame_of_a_burst_is_lost_with_one_connection_and_messages: Udp, true, true;
    no_frame_of_a_burst_is_lost_with_two_connections: Udp, false, false;
    no_frame_of_a_burst_is_lost_with_two_connections_and_messages: Udp, false, true;
    no_frame_of_a_burst_is_lost_with_one_connection_over_tcp: Tcp, true, false;
    no_frame_of_a_burst_is_lost_with_one_connection_over_tcp_and_messages: Tcp, true, true;
    no_frame_of_a_burst_is_lost_with_two_connections_over_tcp: Tcp, false, false;
    no_frame_of_a_burst_is_lost_with_two_connections_over_tcp_and_messages: Tcp, false, true;
}

#[tokio::test(start_paused = true)]
async fn a_lone_frame_that_the_line_loses_holds_up_nothing() {
    let beside = Beside { protocol: Protocol::Udp, single: false, messages: false };
    let rtt = 20 * MS;
    for pause in [350, 500, 700] {
        let mut world = Box::pin(World::over(Protocol::Udp, 10e6, rtt)).await;
        world.stall = Some(Stall::Drops);
        world.burst(1, MS, beside).await;
        world.step().await;
        world.stall = None;
        // SCTP abandons it after a second.
        world.pause(Duration::from_millis(pause), beside).await;
        assert_eq!(world.arrivals.len(), 0);
        world.burst(50, 10 * MS, beside).await;
        world.pause(rtt + 2 * LATE, beside).await;
        assert_eq!(world.arrivals.len(), 50, "{pause} ms after it");
    }
}

/// After a stall a channel may hold little at first, and the last datagram of a frame is acknowledged late.
#[tokio::test(start_paused = true)]
async fn frames_larger_than_the_least_limit_come_after_a_stall() {
    let beside = Beside { protocol: Protocol::Udp, single: false, messages: false };
    let rtt = MS;
    for size in [700, 3_000, 5_500, 12_000] {
        let mut world = Box::pin(World::over(Protocol::Udp, 10e6, rtt)).await;
        world.pump.data_track.handle_stall();
        for _ in 0..100 {
            world.run(MS, 1, size).await;
            world.pause(39 * MS, beside).await;
        }
        world.pause(rtt + 2 * LATE, beside).await;
        assert_eq!(world.arrivals.len(), 100, "{size} bytes");
        let oldest = world.arrivals.iter().map(Arrival::age).max().unwrap();
        assert!(oldest <= rtt / 2 + LATE, "{oldest:?} for {size} bytes");
    }
}
