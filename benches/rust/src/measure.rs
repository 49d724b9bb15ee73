//! Contenders that take turns.

use std::time::{Duration, Instant};

/// How long and how often to measure.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// How often each contender has its turn.
    pub(crate) rounds: usize,
    /// How long a turn takes, including its unmeasured parts.
    pub(crate) turn: Duration,
    /// Parts of `group/case/contender`, all of which must match. Empty: everything runs.
    pub(crate) filter: Vec<String>,
}

impl Plan {
    /// Whether the case may have a contender that passes the filter. Making a contender takes time.
    pub(crate) fn wants(&self, group: &str, case: &str) -> bool {
        let path = format!("{group}/{case}/");
        self.filter.iter().filter(|part| part.contains('/')).all(|part| path.contains(part.as_str()))
    }
}

/// A contender: it runs a number of frames and returns how long they took.
pub(crate) struct Contender<'a> {
    name: &'static str,
    run: Box<dyn FnMut(u32) -> Duration + 'a>,
}

impl<'a> Contender<'a> {
    /// `run` measures itself, so that its preparation need not count.
    pub(crate) fn new(name: &'static str, run: impl FnMut(u32) -> Duration + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }

    /// A contender for which all of `frame` counts.
    pub(crate) fn simple(name: &'static str, mut frame: impl FnMut() + 'a) -> Self {
        Self::new(name, move |frames| {
            let start = Instant::now();
            for _ in 0..frames {
                frame();
            }
            start.elapsed()
        })
    }
}

/// Lets the contenders take turns, and prints for each the nanoseconds per frame: one line of JSON.
pub(crate) fn compare(plan: &Plan, group: &str, case: &str, contenders: Vec<Contender<'_>>) {
    let wanted = |name: &str| {
        let path = format!("{group}/{case}/{name}");
        plan.filter.iter().all(|part| path.contains(part))
    };
    let mut contenders: Vec<_> = contenders.into_iter().filter(|contender| wanted(contender.name)).collect();
    let frames: Vec<u32> = contenders.iter_mut().map(|contender| calibrate(contender, plan.turn)).collect();
    let mut times = vec![Vec::with_capacity(plan.rounds); contenders.len()];
    for _ in 0..plan.rounds {
        for ((contender, &frames), times) in contenders.iter_mut().zip(&frames).zip(&mut times) {
            times.push((contender.run)(frames).as_secs_f64() * 1e9 / f64::from(frames));
        }
    }
    for (contender, mut times) in contenders.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        println!(
            r#"{{"group":"{group}","case":"{case}","name":"{}","median":{:.1},"min":{:.1},"max":{:.1}}}"#,
            contender.name,
            at(times.len() / 2),
            at(0),
            at(times.len().saturating_sub(1)),
        );
    }
}

/// How many frames make a turn. It also warms everything up.
fn calibrate(contender: &mut Contender<'_>, turn: Duration) -> u32 {
    let mut frames = 1;
    loop {
        let start = Instant::now();
        (contender.run)(frames);
        let elapsed = start.elapsed();
        if elapsed * 2 > turn || frames > 1 << 24 {
            let share = turn.as_secs_f64() / elapsed.as_secs_f64();
            return ((f64::from(frames) * share) as u32).max(1);
        }
        frames *= 2;
    }
}
