//! What the link does to packets, and how a line on stdin changes it.

use std::time::Duration;

use serde::Deserialize;

/// What one direction does to its packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How long a packet is under way.
    pub(crate) delay: Duration,
    /// Up to so much is added to the delay, by chance. Packets keep their order.
    pub(crate) jitter: Duration,
    /// Share of the packets that are lost, 0 to 1.
    pub(crate) loss: f64,
    /// Share of the packets that arrive twice, 0 to 1.
    pub(crate) duplicate: f64,
    /// Share of the packets that arrive later than their successors, 0 to 1.
    pub(crate) reorder: f64,
    /// By how much those are late.
    pub(crate) reorder_by: Duration,
    /// Bytes a second; 0: no limit.
    pub(crate) bytes_per_second: f64,
    /// Bytes that wait for their turn, or for the end of a stall. What does not fit is dropped.
    pub(crate) queue_bytes: usize,
    /// Nothing arrives. What is sent waits in the queue.
    pub(crate) stall: bool,
    /// Nothing arrives, ever: what is sent is dropped.
    pub(crate) cut: bool,
    /// The same for UDP over IPv4 alone: the sender does not learn of it, as behind a firewall.
    pub(crate) cut_udp: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(5),
            bytes_per_second: 0.0,
            queue_bytes: 256 << 10,
            stall: false,
            cut: false,
            cut_udp: false,
        }
    }
}

/// A line on stdin: what is not named stays.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Change {
    /// Both, unless named.
    pub(crate) direction: Option<Name>,
    delay_ms: Option<f64>,
    jitter_ms: Option<f64>,
    loss: Option<f64>,
    duplicate: Option<f64>,
    reorder: Option<f64>,
    reorder_ms: Option<f64>,
    bytes_per_second: Option<f64>,
    queue_bytes: Option<usize>,
    stall: Option<bool>,
    cut: Option<bool>,
    cut_udp: Option<bool>,
}

/// A direction: `up` from the first end to the second, `down` back.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Name {
    /// From the first end to the second.
    Up,
    /// From the second end to the first.
    Down,
}

impl Change {
    /// Reads a line, and checks its ranges.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let change: Self = serde_json::from_str(line).map_err(|error| error.to_string())?;
        for (name, value) in
            [("loss", change.loss), ("duplicate", change.duplicate), ("reorder", change.reorder)]
        {
            check(name, value, 1.0)?;
        }
        for (name, value) in [
            ("delayMs", change.delay_ms),
            ("jitterMs", change.jitter_ms),
            ("reorderMs", change.reorder_ms),
            ("bytesPerSecond", change.bytes_per_second),
        ] {
            check(name, value, 1e12)?;
        }
        Ok(change)
    }

    /// Whether it is for that direction.
    pub(crate) fn is_for(&self, name: Name) -> bool {
        self.direction.is_none_or(|wanted| wanted == name)
    }

    /// The settings after the change.
    pub(crate) fn apply(&self, before: Settings) -> Settings {
        let millis =
            |value: Option<f64>, before| value.map_or(before, |ms| Duration::from_secs_f64(ms / 1e3));
        Settings {
            delay: millis(self.delay_ms, before.delay),
            jitter: millis(self.jitter_ms, before.jitter),
            loss: self.loss.unwrap_or(before.loss),
            duplicate: self.duplicate.unwrap_or(before.duplicate),
            reorder: self.reorder.unwrap_or(before.reorder),
            reorder_by: millis(self.reorder_ms, before.reorder_by),
            bytes_per_second: self.bytes_per_second.unwrap_or(before.bytes_per_second),
            queue_bytes: self.queue_bytes.unwrap_or(before.queue_bytes),
            stall: self.stall.unwrap_or(before.stall),
            cut: self.cut.unwrap_or(before.cut),
            cut_udp: self.cut_udp.unwrap_or(before.cut_udp),
        }
    }
}

fn check(name: &str, value: Option<f64>, most: f64) -> Result<(), String> {
    match value {
        Some(value) if !(0.0..=most).contains(&value) => Err(format!("{name} is 0 to {most}, not {value}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_line_changes_what_it_names() {
        let change = Change::parse(r#"{"direction":"up","delayMs":20,"loss":0.01,"stall":true}"#).unwrap();
        assert!(change.is_for(Name::Up) && !change.is_for(Name::Down));
        let before = Settings { bytes_per_second: 1e6, ..Settings::default() };
        let after = change.apply(before);
        assert_eq!(after.delay, Duration::from_millis(20));
        assert!(after.stall && !after.cut);
        assert_eq!((after.loss, after.bytes_per_second), (0.01, 1e6));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in
            ["", "{", r#"{"dealy":1}"#, r#"{"loss":1.5}"#, r#"{"delayMs":-1}"#, r#"{"queueBytes":-1}"#]
        {
            assert!(Change::parse(line).is_err(), "{line}");
        }
    }
}
