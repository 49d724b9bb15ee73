//! The receiving half: which TSNs have arrived, when that is acknowledged, and messages put together.

mod arrivals;
mod reassembly;

pub(crate) use arrivals::{Arrival, Arrivals};
pub(crate) use reassembly::{Fragment, Inbound, InboundStream, OVERHEAD, Reassembly, ReceivedMessage};
