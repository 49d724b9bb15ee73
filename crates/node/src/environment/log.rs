//! Log records on their way to JavaScript: one `tracing` subscriber for the image, one bounded buffer per environment.
//!
//! A record goes to the environment whose work it is about: exports and connection tasks run [inside](within) theirs.
//! What belongs to none goes to the oldest. No message may carry a token, a key, a payload or a peer's address.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::environment::log_buffer::{DEFAULT_LEVEL, LEVELS, Record};
use crate::environment::runtime::Task;
use crate::environment::shared::Shared;
use crate::environment::{lock, redact};

/// Bytes of a message; the rest is cut.
const MAX_MESSAGE: usize = 2_000;

/// All environments of this image, the oldest first.
static ENVIRONMENTS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// The highest level that any of them wants.
static HIGHEST: AtomicU8 = AtomicU8::new(DEFAULT_LEVEL);

thread_local! {
    static CURRENT: RefCell<Option<Weak<Shared>>> = const { RefCell::new(None) };
}

/// Records of this environment go to it from now on.
pub(crate) fn attach(environment: &Arc<Shared>) {
    let mut environments = environments();
    environments.retain(|other| other.strong_count() > 0);
    environments.push(Arc::downgrade(environment));
    drop(environments);
    refresh();
}

/// Which records that environment wants from now on. `None` if there is no such level.
pub(crate) fn set_level(environment: &Shared, name: &str) -> Option<()> {
    environment.logs.set_level(name)?;
    refresh();
    Some(())
}

/// What runs in `body` on this thread is the work of that environment.
pub(crate) fn within<T>(environment: &Weak<Shared>, body: impl FnOnce() -> T) -> T {
    struct Restore(Option<Weak<Shared>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.with(|current| *current.borrow_mut() = self.0.take());
        }
    }
    let previous = CURRENT.with(|current| current.borrow_mut().replace(environment.clone()));
    let _restore = Restore(previous);
    body()
}

/// What this thread does is, from now on, the work of that environment: it is the environment's own thread.
pub(crate) fn adopt_thread(environment: &Arc<Shared>) {
    CURRENT.with(|current| *current.borrow_mut() = Some(Arc::downgrade(environment)));
}

/// A task whose polls run [`within`] an environment.
pub(crate) fn task_within(environment: Weak<Shared>, mut task: Task) -> Task {
    Box::pin(poll_fn(move |context| within(&environment, || task.as_mut().poll(context))))
}

/// The image's one subscriber. A second copy of the package has its own `tracing`, and so its own subscriber.
pub(crate) fn install() {
    // It fails only if there is one already, which is then ours.
    let _ = tracing::subscriber::set_global_default(ToJavaScript);
}

fn environments() -> MutexGuard<'static, Vec<Weak<Shared>>> {
    lock(&ENVIRONMENTS)
}

fn refresh() {
    let highest = environments()
        .iter()
        .filter_map(Weak::upgrade)
        .map(|environment| environment.logs.level())
        .max()
        .unwrap_or(DEFAULT_LEVEL);
    if HIGHEST.swap(highest, Ordering::Relaxed) != highest {
        tracing::callsite::rebuild_interest_cache();
    }
}

fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Crates that report each answer of a TURN server at `info` or `warn`. The driver says in one record of its own why a
/// relay cannot be used.
const WORDY: [&str; 4] = ["stun_proto", "stun_types", "turn_client_proto", "turn_types"];

/// The level of a record.
fn level_of(metadata: &Metadata<'_>) -> u8 {
    let level = number(*metadata.level());
    let wordy = metadata.target().split("::").next().is_some_and(|name| WORDY.contains(&name));
    if wordy { level.max(number(Level::DEBUG)) } else { level }
}

struct ToJavaScript;

impl Subscriber for ToJavaScript {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && level_of(metadata) <= HIGHEST.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match HIGHEST.load(Ordering::Relaxed) {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let level = level_of(event.metadata());
        let current = CURRENT.try_with(|current| current.borrow().as_ref().and_then(Weak::upgrade));
        let environment = match current {
            Ok(Some(environment)) => Some(environment),
            _ => environments().iter().find_map(Weak::upgrade),
        };
        let Some(environment) = environment.filter(|environment| environment.logs.wants(level)) else {
            return;
        };
        let place = event.metadata().callsite();
        let Some(left_out) = environment.logs.admit(level, place, Instant::now()) else { return };
        let mut text = Text(String::new());
        event.record(&mut text);
        if left_out > 0 {
            // Writing to a string does not fail.
            let _ = write!(text.0, " ({left_out} more records like this one were left out before it)");
        }
        environment.logs.push(Record {
            level: LEVELS.get(usize::from(level)).copied().unwrap_or("error"),
            target: event.metadata().target(),
            message: redact::masked(&text.0),
        });
        environment.ring();
    }

    // Spans carry nothing here: a record names its session itself.
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &SpanRecord<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// The message first, then the other fields as `name=value`.
struct Text(String);

impl Text {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.0.len() >= MAX_MESSAGE {
            return;
        }
        // Writing to a string does not fail.
        let _ = match (field.name(), self.0.is_empty()) {
            ("message", _) => write!(self.0, "{value}"),
            (name, true) => write!(self.0, "{name}={value}"),
            (name, false) => write!(self.0, " {name}={value}"),
        };
        if self.0.len() > MAX_MESSAGE {
            let mut end = MAX_MESSAGE;
            while !self.0.is_char_boundary(end) {
                end -= 1;
            }
            self.0.truncate(end);
        }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::log_buffer::Records;

    #[test]
    fn a_warning_that_a_peer_causes_again_and_again_is_told_a_few_times() {
        let environment = Arc::new(Shared::default());
        within(&Arc::downgrade(&environment), || {
            tracing::subscriber::with_default(ToJavaScript, || {
                for number in 0..10_000 {
                    tracing::warn!("packet {number} is none");
                }
                tracing::warn!("something else");
            });
        });
        let Records { records, lost } = environment.logs.take();
        let told: Vec<&str> = records.iter().map(|record| record.message.as_str()).collect();
        assert_eq!((told.len(), lost), (14, 0), "{told:?}");
        assert_eq!(told.first(), Some(&"packet 0 is none"));
        let many = "packet 1009 is none (999 more records like this one were left out before it)";
        assert_eq!(told.get(12..), Some(&[many, "something else"][..]));
    }
}
