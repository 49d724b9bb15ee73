//! Messages of the reliable side: sealed with the session's keys, but never with a frame's initialization vector.

use std::collections::HashSet;

use datatrack::e2ee::{OpenOutcome, SealedWith};
use datatrack::publisher::{SealedMessage, SessionEncryption};
use datatrack::{Payload, Publisher, Subscriber};

use crate::support::*;

fn sealed(publisher: &mut Publisher, message: &[u8]) -> (SealedWith, Payload) {
    match publisher.seal_message(message) {
        SealedMessage::Sealed(with, ciphertext) => (with, Payload::from(bytes::Bytes::from(ciphertext))),
        other => panic!("{other:?}"),
    }
}

fn open(subscriber: &mut Subscriber, (with, ciphertext): &(SealedWith, Payload)) -> OpenOutcome {
    subscriber.open_message(ALICE, with.key_index, &with.iv, ciphertext, at(0))
}

#[test]
fn a_message_comes_out_as_it_was_and_an_empty_one_does_too() {
    let (mut publisher, mut subscriber) = (publisher_with(hkdf()), subscriber_with(hkdf()));
    publisher.set_key(0, key(1)).unwrap();
    derive_sealing(&mut publisher);
    subscriber.set_key(of_alice(), 0, key(1)).unwrap();
    derive_opening(&mut subscriber, at(0));
    for message in [&b""[..], b"m", &payload(1, 60_000)] {
        let sealed = sealed(&mut publisher, message);
        assert_eq!(open(&mut subscriber, &sealed), OpenOutcome::Opened(message.to_vec().into()));
    }
}

#[test]
fn a_message_waits_for_a_key_that_is_being_derived_and_only_for_that() {
    let (mut publisher, mut subscriber) = (publisher_with(hkdf()), subscriber_with(hkdf()));
    assert_eq!(publisher.seal_message(b"m"), SealedMessage::NoKey);
    publisher.set_key(0, key(1)).unwrap();
    assert_eq!(publisher.seal_message(b"m"), SealedMessage::Wait);
    derive_sealing(&mut publisher);
    let message = sealed(&mut publisher, b"m");
    assert_eq!(open(&mut subscriber, &message), OpenOutcome::NoKey);
    subscriber.set_key(of_alice(), 0, key(1)).unwrap();
    assert_eq!(open(&mut subscriber, &message), OpenOutcome::Wait);
    derive_opening(&mut subscriber, at(0));
    assert_eq!(open(&mut subscriber, &message), OpenOutcome::Opened(b"m"[..].into()));
}

#[test]
fn another_key_opens_nothing_and_a_session_without_encryption_seals_and_opens_nothing() {
    let (mut publisher, mut subscriber) = (publisher_with(hkdf()), subscriber_with(hkdf()));
    publisher.set_key(0, key(1)).unwrap();
    derive_sealing(&mut publisher);
    let message = sealed(&mut publisher, b"m");
    subscriber.set_key(of_alice(), 0, key(2)).unwrap();
    derive_opening(&mut subscriber, at(0));
    assert_ne!(open(&mut subscriber, &message), OpenOutcome::Opened(b"m"[..].into()));
    for encryption in [SessionEncryption::None, SessionEncryption::Custom] {
        assert_eq!(publisher_with(encryption.clone()).seal_message(b"m"), SealedMessage::NoKey);
        assert_eq!(open(&mut subscriber_with(encryption), &message), OpenOutcome::NoKey);
    }
}

#[test]
fn no_initialization_vector_serves_a_message_and_a_frame() {
    let mut publisher = publisher_with(hkdf());
    publisher.set_key(0, key(1)).unwrap();
    derive_sealing(&mut publisher);
    let track = published(&mut publisher, encrypted("a"));
    let mut seen = HashSet::new();
    for _ in 0..100 {
        assert!(seen.insert(sealed(&mut publisher, b"m").0.iv));
        publisher.push(track, b"f", None, at(0)).unwrap();
        for (_, packet) in packets(&mut publisher, at(0)) {
            let (header, _) = datatrack::packet::Header::parse(&packet).unwrap();
            assert!(seen.insert(header.extensions.e2ee.unwrap().iv));
        }
    }
}
