//! Measures core and driver against the Rust reference and against lower bounds for any implementation.
//!
//! In one process the contenders of a case take turns, round after round, so that a busy machine slows all of them
//! alike. Each prints one line of JSON, in nanoseconds per frame: median, least and most of the rounds. `npm run bench`
//! turns the lines into a table. Arguments: `--quick`, and parts of `group/case/name`, of which a contender must
//! contain all to run.

mod bounds;
mod codec;
mod feed;
mod measure;
mod ours;
mod reference;

use std::time::Duration;

use measure::{Plan, compare};

const SIZES: [(usize, &str); 6] = [
    (64, "64 B"),
    (256, "256 B"),
    (1 << 10, "1 KiB"),
    (15 << 10, "15 KiB"),
    (200 << 10, "200 KiB"),
    (1 << 20, "1 MiB"),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (options, filter): (Vec<_>, Vec<_>) =
        arguments.into_iter().partition(|argument| argument.starts_with("--"));
    let quick = options.iter().any(|option| option == "--quick");
    let (rounds, millis) = if quick { (9, 1) } else { (61, 1) };
    let plan = Plan { rounds, turn: Duration::from_millis(millis), filter };

    codec::run(&plan);
    for (size, case) in SIZES {
        frames(&plan, size, case);
    }
    for (size, case) in [(256, "256 B"), (1 << 10, "1 KiB")] {
        if plan.wants("publish, tracks", case) {
            let contenders = vec![ours::publish_many("1", 1, size), ours::publish_many("1000", 1_000, size)];
            compare(&plan, "publish, tracks", case, contenders);
        }
        if plan.wants("subscribe, tracks", case) {
            let contenders =
                vec![ours::subscribe_many("1", 1, size), ours::subscribe_many("1000", 1_000, size)];
            compare(&plan, "subscribe, tracks", case, contenders);
        }
    }
    if plan.filter.is_empty() {
        bursts(if quick { 5 } else { 50 });
    }
}

/// All contenders of a size.
fn frames(plan: &Plan, size: usize, case: &str) {
    // Frames of several packets are moved one at a time, because more would not fit into the reference's queues.
    let at_once =
        if size <= 1 << 10 { &[(1, "link", "reference"), MANY][..] } else { &[(1, "link", "reference")] };
    for encrypted in [false, true] {
        let group = if encrypted { "publish, E2EE" } else { "publish" };
        if plan.wants(group, case) {
            let mut contenders = if encrypted {
                vec![bounds::seal(size), bounds::seal_and_copy_twice(size)]
            } else {
                vec![bounds::memcpy(size)]
            };
            contenders.push(ours::core_publish(size, encrypted));
            for &(at_once, link, reference) in at_once {
                contenders.push(ours::link_publish(link, size, encrypted, at_once));
                contenders.push(reference::publish(reference, size, encrypted, at_once));
            }
            compare(plan, group, case, contenders);
        }
        let group = if encrypted { "subscribe, E2EE" } else { "subscribe" };
        if plan.wants(group, case) {
            let mut contenders =
                if encrypted { vec![bounds::open_and_copy_twice(size)] } else { vec![bounds::memcpy(size)] };
            contenders.push(ours::core_subscribe(size, encrypted));
            for &(at_once, link, reference) in at_once {
                contenders.push(ours::link_subscribe(link, size, encrypted, at_once));
                contenders.push(reference::subscribe(reference, size, encrypted, at_once));
            }
            compare(plan, group, case, contenders);
        }
    }
}

/// As many frames as the reference's queues hold.
const MANY: (u32, &str, &str) = (reference::QUEUE as u32, "link, 16 at once", "reference, 16 at once");

fn bursts(bursts: u32) {
    for packets in [16, 17, 32, 64, 128] {
        let (ours, reference) = (ours::burst(packets, bursts), reference::burst(packets, bursts));
        println!(
            r#"{{"group":"burst","case":"{packets}","frames":{bursts},"ours":{ours},"reference":{reference}}}"#
        );
    }
}
