//! A bad network for tests: carries IP packets between two network namespaces and delays, loses, doubles, reorders, holds
//! and limits them on the way.
//!
//! `datatrack-bad-network SEED NAMESPACE:DEVICE NAMESPACE:DEVICE` makes a TUN device in each of two namespaces of
//! `ip netns`. Each line of JSON on stdin changes settings, of both directions unless it names one (`up` is from the first
//! namespace to the second), and is answered on stdout by a line with the counters. It ends with stdin.
//!
//! ```json
//! {"direction":"up","delayMs":20,"jitterMs":2,"loss":0.01,"duplicate":0,"reorder":0,"reorderMs":5,
//!  "bytesPerSecond":1000000,"queueBytes":262144,"stall":false,"cut":false}
//! ```

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "it is tested everywhere"))]
mod direction;
#[cfg(target_os = "linux")]
mod linux;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "it is tested everywhere"))]
mod settings;
#[cfg(target_os = "linux")]
mod tun;

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    linux::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::io::Result<()> {
    Err(std::io::Error::other("network namespaces are Linux's"))
}
