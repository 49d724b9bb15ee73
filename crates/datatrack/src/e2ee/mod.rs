//! E2EE
