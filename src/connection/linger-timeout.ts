/**
 * ms to wait until accepted data has reached the server, before a room ends or a track is unpublished. The caller waits
 * for it, and so may the end of the process. Rust: `crates/transport/src/connection/linger.rs`.
 */
export const LINGER_TIMEOUT = 1000
