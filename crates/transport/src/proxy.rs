//! HTTP proxies: what is said to one to get a tunnel, by `CONNECT` (RFC 9110). This module does no I/O.

use std::fmt;

/// The largest answer of a proxy, in bytes. Proxies send a status line and a few headers.
const MAX_ANSWER: usize = 16_384;

/// The start of each answer, and where its status is.
const START: &[u8] = b"HTTP/1.";
const STATUS_AT: std::ops::Range<usize> = 9..12;

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The value of the header `Proxy-Authorization`, if the proxy needs it.
    pub authorization: Option<String>,
}

impl fmt::Debug for Proxy {
    /// Leaves out the credentials and the address, because logs carry neither.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

/// Why a proxy gives no tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProxyError {
    /// It refuses connections, ends them, or does not answer in time.
    #[error("the proxy does not answer")]
    Unreachable,
    /// It wants other credentials, or some.
    #[error("the proxy refuses the credentials, or wants some (HTTP status 407)")]
    Unauthorized,
    /// It refuses with that HTTP status.
    #[error("the proxy refuses to connect (HTTP status {0})")]
    Refused(u16),
    /// What it sends is not the answer of an HTTP proxy.
    #[error("the proxy does not speak HTTP")]
    Protocol,
}

impl Proxy {
    /// The request for a tunnel to that host.
    pub(crate) fn request(&self, host: &str, port: u16) -> String {
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let authorization = self.authorization.as_deref();
        let authorization =
            authorization.map_or(String::new(), |value| format!("Proxy-Authorization: {value}\r\n"));
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n")
    }
}

/// Reads the proxy's answer, as far as it has come. Returns whether there is a tunnel now; `false`: there is more to
/// come. The other end of a tunnel says nothing before it is asked, so nothing may follow the answer.
pub(crate) fn read_answer(answer: &[u8]) -> Result<bool, ProxyError> {
    let len = answer.len().min(START.len());
    if answer.get(..len) != START.get(..len) {
        return Err(ProxyError::Protocol);
    }
    let Some(status) = answer.get(STATUS_AT) else { return Ok(false) };
    let status = std::str::from_utf8(status).ok().and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(200..=299) => {}
        Some(407) => return Err(ProxyError::Unauthorized),
        Some(status) => return Err(ProxyError::Refused(status)),
        None => return Err(ProxyError::Protocol),
    }
    match answer.windows(4).position(|end| end == b"\r\n\r\n") {
        Some(end) if end + 4 == answer.len() => Ok(true),
        None if answer.len() < MAX_ANSWER => Ok(false),
        _ => Err(ProxyError::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(authorization: Option<&str>) -> Proxy {
        Proxy { host: "proxy".into(), port: 3128, authorization: authorization.map(Into::into) }
    }

    #[test]
    fn a_tunnel_is_requested() {
        assert_eq!(
            proxy(None).request("192.0.2.1", 443),
            "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n"
        );
        assert_eq!(
            proxy(Some("Basic bWU6aHVzaA==")).request("2001:db8::1", 443),
            "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\nProxy-Authorization: Basic \
             bWU6aHVzaA==\r\n\r\n"
        );
        assert_eq!(format!("{:?}", proxy(Some("Basic bWU6aHVzaA=="))), "Proxy { .. }");
    }

    #[test]
    fn an_answer_is_read_as_it_comes() {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";
        for len in 0..answer.len() {
            assert_eq!(read_answer(&answer[..len]), Ok(false), "{len}");
        }
        assert_eq!(read_answer(answer), Ok(true));
        assert_eq!(read_answer(b"HTTP/1.0 200 OK\r\n\r\n"), Ok(true));
    }

    #[test]
    fn a_refusal_is_told_at_once() {
        assert_eq!(read_answer(b"HTTP/1.1 407 Pr"), Err(ProxyError::Unauthorized));
        assert_eq!(read_answer(b"HTTP/1.1 403"), Err(ProxyError::Refused(403)));
        assert_eq!(read_answer(b"HTTP/1.1 302 Found\r\n"), Err(ProxyError::Refused(302)));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for nonsense in
            [&b"<"[..], b"<html>", b"HTTP/2 200", b"HTTP/1.1 2x0 ", b"HTTP/1.1  200", b"\x16\x03\x01"]
        {
            assert_eq!(read_answer(nonsense), Err(ProxyError::Protocol), "{nonsense:?}");
        }
        // A page in place of a tunnel.
        assert_eq!(read_answer(b"HTTP/1.1 200 OK\r\n\r\n<html>"), Err(ProxyError::Protocol));
    }

    #[test]
    fn an_answer_without_end_is_given_up() {
        let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
        answer.resize(MAX_ANSWER - 1, b'x');
        assert_eq!(read_answer(&answer), Ok(false));
        answer.push(b'x');
        assert_eq!(read_answer(&answer), Err(ProxyError::Protocol));
    }
}
