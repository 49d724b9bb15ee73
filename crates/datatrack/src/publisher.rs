//! The publishing side.
