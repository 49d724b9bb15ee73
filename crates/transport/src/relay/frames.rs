//! Splits a stream (TCP or TLS) into TURN's messages (RFC 8489, section 6.2.2; RFC 8656, section 12.5). Also reads the
//! parts of a STUN message that tell why a relay cannot be used.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};

/// Bytes of a STUN message's header.
const STUN_HEADER: usize = 20;

/// Bytes of the header of channel data.
const CHANNEL_HEADER: usize = 4;

/// Alignment of all messages on a stream, in bytes.
const ALIGNMENT: usize = 4;

/// How the answer of a web server or a load balancer begins. As channel data it would be of channel 0x4854, and this
/// side numbers its channels from 0x4000 on.
const HTTP: &[u8] = b"HTTP";

const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;
const ERROR_CODE: u16 = 0x0009;
const XOR_PEER_ADDRESS: u16 = 0x0012;

/// The stream carries another protocol than TURN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotTurn;

/// Pads a message of this side to the alignment of a stream. STUN messages need no padding.
pub(crate) fn pad(message: &mut Vec<u8>) {
    message.resize(message.len().next_multiple_of(ALIGNMENT), 0);
}

/// Takes the first whole message off a stream, without its padding. `None`: the message is not complete yet. By its
/// format, a message has at most 65,555 bytes.
pub(crate) fn split_message(received: &mut BytesMut) -> Result<Option<BytesMut>, NotTurn> {
    let Some(&[first, _, high, low]) = received.first_chunk() else { return Ok(None) };
    if received.starts_with(HTTP) {
        return Err(NotTurn);
    }
    let content = usize::from(u16::from_be_bytes([high, low]));
    let len = match first >> 6 {
        0 => STUN_HEADER + content,
        1 => CHANNEL_HEADER + content,
        _ => return Err(NotTurn),
    };
    if first >> 6 == 0 && received.get(4..8).is_some_and(|magic| magic != MAGIC) {
        return Err(NotTurn);
    }
    let padded = len.next_multiple_of(ALIGNMENT);
    if received.len() < padded {
        return Ok(None);
    }
    let message = received.split_to(len);
    received.advance(padded - len);
    Ok(Some(message))
}

/// The method of a STUN message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Allocate,
    /// The methods that let a peer's packets through: CreatePermission and ChannelBind.
    Permit,
    Other,
}

/// The parts of a STUN request of this side that answers are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) id: [u8; 12],
    pub(super) method: Method,
    /// Whether it carries credentials.
    pub(super) signed: bool,
    /// The peer that the request is about, if it names one.
    pub(super) peer: Option<SocketAddr>,
}

/// Reads a STUN message of this side. `None`: it is not a request.
pub(super) fn request(message: &[u8]) -> Option<Request> {
    let (kind, id) = header(message)?;
    let signed = attribute(message, USERNAME).is_some();
    let peer = attribute(message, XOR_PEER_ADDRESS).and_then(|value| xor_address(value, id));
    (kind & 0x0110 == 0).then_some(Request { id, method: method(kind), signed, peer })
}

/// An address is written with its bits inverted by those of the magic cookie and the message's id.
fn xor_address(value: &[u8], id: [u8; 12]) -> Option<SocketAddr> {
    let (&[_, family, high, low], written) = value.split_first_chunk()?;
    let [first, second, ..] = MAGIC;
    let port = u16::from_be_bytes([high ^ first, low ^ second]);
    let mut octets = [0; 16];
    for (octet, (written, mask)) in octets.iter_mut().zip(written.iter().zip(MAGIC.iter().chain(&id))) {
        *octet = written ^ mask;
    }
    let [a, b, c, d, ..] = octets;
    match (family, written.len()) {
        (1, 4) => Some(SocketAddr::from(([a, b, c, d], port))),
        (2, 16) => Some(SocketAddr::from((octets, port))),
        _ => None,
    }
}

/// Reads an error response: the id of the request that it answers, and its code. `None`: the message is something else.
pub(super) fn error_code(message: &[u8]) -> Option<([u8; 12], u16)> {
    let (kind, id) = header(message)?;
    if kind & 0x0110 != 0x0110 {
        return None;
    }
    let &[_, _, class, number] = attribute(message, ERROR_CODE)?.first_chunk()?;
    Some((id, u16::from(class & 7) * 100 + u16::from(number)))
}

fn header(message: &[u8]) -> Option<(u16, [u8; 12])> {
    let &[high, low, _, _, a, b, c, d] = message.first_chunk()?;
    let id = message.get(8..STUN_HEADER)?.try_into().ok()?;
    (high >> 6 == 0 && [a, b, c, d] == MAGIC).then_some((u16::from_be_bytes([high, low]), id))
}

const fn method(kind: u16) -> Method {
    // The two bits of a STUN message's class are between the bits of its method.
    match kind & !0x0110 {
        0x003 => Method::Allocate,
        0x008 | 0x009 => Method::Permit,
        _ => Method::Other,
    }
}

fn attribute(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = message.get(STUN_HEADER..)?;
    loop {
        let &[a, b, c, d] = rest.first_chunk()?;
        let len = usize::from(u16::from_be_bytes([c, d]));
        let value = rest.get(4..4 + len)?;
        if u16::from_be_bytes([a, b]) == wanted {
            return Some(value);
        }
        rest = rest.get(4 + len.next_multiple_of(ALIGNMENT)..)?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv6Addr;

    use super::*;

    fn stun(kind: u16, attributes: &[u8]) -> Vec<u8> {
        let len = u16::try_from(attributes.len()).unwrap();
        [&kind.to_be_bytes()[..], &len.to_be_bytes(), &MAGIC, &[7; 12], attributes].concat()
    }

    #[test]
    fn messages_are_found_wherever_the_stream_was_cut() {
        let indication = stun(0x0017, &[0, 0x13, 0, 1, 9, 0, 0, 0]);
        let stream = [&[0x40, 0, 0, 3, 1, 2, 3, 0][..], &indication, &[0x4f, 1, 0, 0, 0x40]].concat();
        for cut in 0..stream.len() {
            let mut received = BytesMut::new();
            let mut messages = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                received.extend_from_slice(part);
                while let Some(message) = split_message(&mut received).unwrap() {
                    messages.push(message.to_vec());
                }
            }
            let expected = [vec![0x40, 0, 0, 3, 1, 2, 3], indication.clone(), vec![0x4f, 1, 0, 0]];
            assert_eq!(messages, expected, "cut at {cut}");
            assert_eq!(received[..], [0x40], "cut at {cut}");
        }
    }

    #[test]
    fn another_protocol_is_told() {
        for stream in [&b"HTTP/1.1 400 Bad Request"[..], &[0x16, 3, 1, 0, 9, 0, 0, 0, 0], &[0xff; 8], &[0; 8]]
        {
            let mut received = BytesMut::from(stream);
            assert_eq!(split_message(&mut received), Err(NotTurn), "{stream:?}");
        }
    }

    #[test]
    fn a_message_that_announces_the_most_is_bounded() {
        let mut received = BytesMut::from(&[0x40, 0, 0xff, 0xff][..]);
        received.resize(65_539, 0);
        assert_eq!(split_message(&mut received), Ok(None));
        received.resize(65_540, 0);
        assert_eq!(split_message(&mut received).unwrap().map(|message| message.len()), Some(65_539));
        assert!(received.is_empty());
    }

    #[test]
    fn error_codes_and_requests_are_read() {
        let error = stun(0x0113, &[0x80, 0x22, 0, 1, 9, 0, 0, 0, 0, 9, 0, 4, 0, 0, 4, 1]);
        assert_eq!(error_code(&error), Some(([7; 12], 401)));
        assert_eq!(request(&error), None);
        let plain = stun(0x0003, &[]);
        let signed = stun(0x0009, &[0, 6, 0, 1, b'u', 0, 0, 0]);
        let expected = Request { id: [7; 12], method: Method::Allocate, signed: false, peer: None };
        assert_eq!(request(&plain), Some(expected));
        assert_eq!(request(&signed), Some(Request { method: Method::Permit, signed: true, ..expected }));
        let peer = stun(0x0009, &[0, 0x12, 0, 8, 0, 1, 0x21, 0x13, 0x5e, 0x12, 0xa4, 0x43]);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(request(&peer).unwrap().peer, Some(address));
        // ::1, by RFC 8489: the magic cookie and the id, with the last bit inverted.
        let value = [&[0, 2, 0x21, 0x13][..], &MAGIC, &[7; 11], &[6]].concat();
        let peer = stun(0x0009, &[&[0, 0x12, 0, 20][..], &value].concat());
        assert_eq!(request(&peer).unwrap().peer, Some(SocketAddr::from((Ipv6Addr::LOCALHOST, 1))));
        // Another length than the family's, and an unknown family.
        for value in [[0, 2, 0, 0, 1, 2, 3, 4], [0, 3, 0, 0, 1, 2, 3, 4]] {
            let peer = stun(0x0009, &[&[0, 0x12, 0, 8][..], &value].concat());
            assert_eq!(request(&peer).unwrap().peer, None);
        }
        // Cut off anywhere, and with lengths that lie.
        for len in 0..error.len() {
            assert_eq!(error_code(&error[..len]), None);
        }
        assert_eq!(error_code(&stun(0x0113, &[0, 9, 0xff, 0xff, 0, 0, 4, 1])), None);
    }
}
