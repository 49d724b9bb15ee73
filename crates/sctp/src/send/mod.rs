//! The sending half: messages that wait, chunks in flight, and what is known of the path.

mod outstanding;
mod pending;
mod rtt;
mod sender;

pub(crate) use pending::Limit;
pub(crate) use sender::{Outgoing, Sender};
