//! What crosses to JavaScript and back, as flat objects: options, events with the texts of their reasons, statistics.

pub(crate) mod event;
pub(crate) mod options;
pub(crate) mod stats;
