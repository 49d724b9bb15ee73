use proptest::prelude::*;

use super::*;
use crate::e2ee::test_support::{chain, frame};
use crate::e2ee::{DerivationError, FrameKey, KeyDerivation};

const ALICE: &str = "alice";

fn alice() -> KeyScope {
    KeyScope::Participant(ALICE.into())
}

fn per_participant() -> KeyOptions {
    KeyOptions::per_participant(KeyDerivation::Hkdf)
}

/// Opening keys with a clock, a counter of derivations, and a driver that runs derivations when told to.
struct Receiver {
    keys: OpeningKeys,
    now: Instant,
    derived: usize,
}

impl Receiver {
    fn new(options: KeyOptions) -> Self {
        Self { keys: OpeningKeys::new(options), now: Instant::from_millis(1), derived: 0 }
    }

    /// A receiver with a derived key for Alice.
    fn with_key(options: KeyOptions, material: &[u8]) -> Self {
        let mut receiver = Self::new(options);
        receiver.keys.set_key(alice(), 0, material).unwrap();
        receiver.settle();
        receiver.derived = 0;
        receiver
    }

    fn derive_one(&mut self) -> Option<Option<Completion>> {
        let derivation = self.keys.poll_derivation()?;
        self.derived += 1;
        Some(self.keys.handle_derived(derivation.run(), self.now))
    }

    fn settle(&mut self) {
        while self.derive_one().is_some() {}
        while self.keys.poll_retry().is_some() {}
    }

    fn open(&mut self, index: u8, (iv, sealed): &([u8; IV_LEN], Payload)) -> OpenOutcome {
        self.keys.open(ALICE, index, iv, sealed, self.now)
    }

    /// Opens a frame as a subscriber does: a frame that must wait is tried again when `poll_retry` says so.
    fn open_to_the_end(&mut self, frame: &([u8; IV_LEN], Payload)) -> OpenOutcome {
        loop {
            let outcome = self.open(0, frame);
            if outcome != OpenOutcome::Wait {
                return outcome;
            }
            assert!(self.derive_one().is_some(), "a frame waits for nothing");
            assert_eq!(self.keys.poll_retry(), Some(alice()));
        }
    }

    fn pass(&mut self, duration: std::time::Duration) {
        self.now = self.now + duration;
    }
}

fn opened(payload: &'static [u8]) -> OpenOutcome {
    OpenOutcome::Opened(Bytes::from_static(payload))
}

fn key(material: &[u8]) -> FrameKey {
    chain(material, 0).remove(0)
}

#[test]
fn a_frame_waits_for_the_key_that_is_being_derived() {
    let mut receiver = Receiver::new(per_participant());
    let sealed = frame(&key(b"a"), 1, b"hello");
    assert_eq!(receiver.open(0, &sealed), OpenOutcome::NoKey);
    let id = receiver.keys.set_key(alice(), 0, &b"a"[..]).unwrap();
    assert_eq!(receiver.open(0, &sealed), OpenOutcome::Wait);
    let derivation = receiver.keys.poll_derivation().unwrap();
    assert_eq!(receiver.open(0, &sealed), OpenOutcome::Wait, "in flight is not done");
    assert_eq!(receiver.open(1, &sealed), OpenOutcome::NoKey, "another index has nothing to wait for");
    assert_eq!(receiver.keys.poll_retry(), None);
    let completion = receiver.keys.handle_derived(derivation.run(), receiver.now);
    assert_eq!(completion, Some(Completion { id, result: Ok(()) }));
    assert_eq!(receiver.keys.poll_retry(), Some(alice()));
    assert_eq!(receiver.keys.poll_retry(), None);
    assert_eq!(receiver.open(0, &sealed), opened(b"hello"));
}

#[test]
fn an_empty_frame_opens() {
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    let sealed = frame(&key(b"a"), 1, b"");
    assert_eq!(sealed.1.len(), 16);
    assert_eq!(receiver.open(0, &sealed), opened(b""));
}

#[test]
fn each_participant_has_keys_of_its_own() {
    let mut receiver = Receiver::with_key(KeyOptions { ratchet_window: 0, ..per_participant() }, b"a");
    let bob = KeyScope::Participant("bob".into());
    receiver.keys.set_key(bob, 0, &b"b"[..]).unwrap();
    receiver.settle();
    let (iv, sealed) = frame(&key(b"b"), 1, b"from bob");
    assert_eq!(receiver.keys.open("bob", 0, &iv, &sealed, receiver.now), opened(b"from bob"));
    assert_eq!(receiver.keys.open(ALICE, 0, &iv, &sealed, receiver.now), OpenOutcome::Failed);
    assert_eq!(receiver.keys.open("carol", 0, &iv, &sealed, receiver.now), OpenOutcome::NoKey);
}

#[test]
fn a_shared_key_opens_the_frames_of_all_participants() {
    let mut receiver = Receiver::new(KeyOptions::shared(KeyDerivation::Hkdf));
    receiver.keys.set_key(KeyScope::Shared, 2, &b"all"[..]).unwrap();
    receiver.settle();
    let (iv, sealed) = frame(&key(b"all"), 1, b"x");
    for identity in [ALICE, "bob"] {
        assert_eq!(receiver.keys.open(identity, 2, &iv, &sealed, receiver.now), opened(b"x"));
    }
    let (iv, sealed) = frame(&key(b"other"), 1, b"x");
    assert_eq!(receiver.keys.open(ALICE, 2, &iv, &sealed, receiver.now), OpenOutcome::Failed);
    assert!(receiver.keys.poll_derivation().is_none(), "a shared key follows no ratchet by default");
}

#[test]
fn a_key_of_the_wrong_scope_is_an_error() {
    let mut shared = OpeningKeys::new(KeyOptions::shared(KeyDerivation::Hkdf));
    assert_eq!(shared.set_key(alice(), 0, &b"a"[..]), Err(E2eeError::SharedKeyExpected));
    assert_eq!(shared.ratchet(alice(), 0), Err(E2eeError::SharedKeyExpected));
    let mut own = OpeningKeys::new(per_participant());
    assert_eq!(own.set_key(KeyScope::Shared, 0, &b"a"[..]), Err(E2eeError::ParticipantKeyExpected));
    assert_eq!(own.ratchet(KeyScope::Shared, 0), Err(E2eeError::ParticipantKeyExpected));
}

/// Goes beyond `KEY_RING_SIZE`.
#[test]
fn an_index_from_16_on_is_an_error_here_and_no_key_there() {
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    for index in [16, 17, 32, 255] {
        let error = E2eeError::KeyIndexOutOfRange { index };
        assert_eq!(receiver.keys.set_key(alice(), index, &b"a"[..]), Err(error));
        assert_eq!(receiver.keys.ratchet(alice(), index), Err(error));
        let sealed = frame(&key(b"a"), 1, b"x");
        assert_eq!(receiver.open(index, &sealed), OpenOutcome::NoKey, "not taken modulo 16");
    }
}

#[test]
fn empty_material_and_a_ratchet_without_a_key_are_errors() {
    let mut keys = OpeningKeys::new(per_participant());
    assert_eq!(keys.set_key(alice(), 0, vec![]), Err(E2eeError::EmptyKeyMaterial));
    assert_eq!(keys.ratchet(alice(), 0), Err(E2eeError::NoKey { index: 0 }));
    assert!(keys.participants.is_empty(), "a refused call leaves nothing behind");
}

#[test]
fn frames_of_unknown_participants_leave_nothing_behind() {
    let mut receiver = Receiver::new(per_participant());
    let (iv, sealed) = frame(&key(b"a"), 1, b"x");
    for peer in 0..100 {
        let outcome = receiver.keys.open(&format!("peer {peer}"), 0, &iv, &sealed, receiver.now);
        assert_eq!(outcome, OpenOutcome::NoKey);
    }
    assert!(receiver.keys.participants.is_empty());
    assert!(receiver.keys.poll_derivation().is_none());
}

#[test]
fn the_key_at_the_index_of_the_frame_opens_it() {
    let mut receiver = Receiver::with_key(KeyOptions { ratchet_window: 0, ..per_participant() }, b"a");
    receiver.keys.set_key(alice(), 15, &b"b"[..]).unwrap();
    receiver.settle();
    assert_eq!(receiver.open(0, &frame(&key(b"a"), 1, b"old")), opened(b"old"));
    assert_eq!(receiver.open(15, &frame(&key(b"b"), 2, b"new")), opened(b"new"));
    assert_eq!(receiver.open(15, &frame(&key(b"a"), 3, b"old")), OpenOutcome::Failed);
}

#[test]
fn a_ratchet_is_followed_up_to_the_window_and_not_beyond() {
    let keys = chain(b"a", 17);
    for steps in [1, 2, 16] {
        let mut receiver = Receiver::with_key(per_participant(), b"a");
        assert_eq!(receiver.open_to_the_end(&frame(&keys[steps], 1, b"x")), opened(b"x"), "{steps}");
        assert_eq!(receiver.derived, steps, "each step is derived once");
        assert_eq!(receiver.open(0, &frame(&keys[steps], 2, b"y")), opened(b"y"), "the step is kept");
    }
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    assert_eq!(receiver.open_to_the_end(&frame(&keys[17], 1, b"x")), OpenOutcome::Failed);
    assert_eq!(receiver.derived, 16);
}

#[test]
fn a_step_that_opened_nothing_is_not_kept_as_the_key() {
    let keys = chain(b"a", 1);
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    assert_eq!(receiver.open_to_the_end(&frame(&key(b"stranger"), 1, b"x")), OpenOutcome::Failed);
    receiver.pass(SEARCH_PAUSE);
    assert_eq!(receiver.open(0, &frame(&keys[0], 2, b"x")), opened(b"x"), "the key is what it was");
    assert_eq!(receiver.open(0, &frame(&keys[1], 3, b"y")), opened(b"y"), "and the first step still ahead");
}

#[test]
fn a_late_frame_opens_with_the_key_before_the_step() {
    let keys = chain(b"a", 4);
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    assert_eq!(receiver.open_to_the_end(&frame(&keys[3], 1, b"x")), opened(b"x"));
    assert_eq!(receiver.open(0, &frame(&keys[2], 2, b"late")), opened(b"late"));
    assert_eq!(receiver.open(0, &frame(&keys[3], 3, b"y")), opened(b"y"), "it goes nowhere back");
    assert_eq!(receiver.open_to_the_end(&frame(&keys[1], 4, b"too late")), OpenOutcome::Failed);
}

#[test]
fn other_frames_that_fail_wait_for_the_search_and_start_none() {
    let keys = chain(b"a", 2);
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    let frames = [frame(&keys[2], 1, b"1"), frame(&keys[2], 2, b"2"), frame(&keys[2], 3, b"3")];
    for sealed in &frames {
        assert_eq!(receiver.open(0, sealed), OpenOutcome::Wait);
    }
    assert_eq!(receiver.open(0, &frame(&keys[0], 4, b"now")), opened(b"now"), "the key goes on working");
    let derivation = receiver.keys.poll_derivation().unwrap();
    assert!(receiver.keys.poll_derivation().is_none(), "one derivation for the three of them");
    assert_eq!(receiver.keys.handle_derived(derivation.run(), receiver.now), None);
    for sealed in &frames {
        assert_eq!(receiver.open(0, sealed), OpenOutcome::Wait);
    }
    receiver.settle();
    assert_eq!(receiver.open(0, &frames[0]), opened(b"1"));
    assert_eq!(receiver.open(0, &frames[1]), opened(b"2"));
    assert_eq!(receiver.derived, 1, "the second step was enough");
}

#[test]
fn when_the_searching_frame_is_gone_another_one_takes_over() {
    let keys = chain(b"a", 3);
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    let (dropped, held) = (frame(&keys[3], 1, b"dropped"), frame(&keys[3], 2, b"held"));
    assert_eq!(receiver.open(0, &dropped), OpenOutcome::Wait);
    assert_eq!(receiver.open(0, &held), OpenOutcome::Wait);
    assert_eq!(receiver.open_to_the_end(&held), opened(b"held"));
    assert_eq!(receiver.derived, 3);
}

#[test]
fn a_frame_that_takes_over_tries_the_steps_that_the_other_one_tried() {
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    let bad = frame(&key(b"bad"), 1, b"x");
    for _ in 0..2 {
        assert_eq!(receiver.open(0, &bad), OpenOutcome::Wait);
        receiver.settle();
    }
    assert_eq!(receiver.open(0, &frame(&chain(b"a", 1)[1], 2, b"good")), opened(b"good"));
}

#[test]
fn a_flood_of_frames_that_fail_queues_one_derivation() {
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    let bad = key(b"bad");
    for number in 0..1000 {
        assert_eq!(receiver.open(0, &frame(&bad, number, b"x")), OpenOutcome::Wait);
    }
    assert_eq!(receiver.keys.ready.len(), 1);
}

#[test]
fn ratchets_count_from_where_the_known_steps_end() {
    let keys = chain(b"a", 18);
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    assert_eq!(receiver.open_to_the_end(&frame(&key(b"bad"), 1, b"x")), OpenOutcome::Failed);
    for _ in 0..2 {
        receiver.keys.ratchet(alice(), 0).unwrap();
        receiver.settle();
    }
    assert_eq!(
        receiver.open_to_the_end(&frame(&keys[18], 2, b"x")),
        opened(b"x"),
        "16 steps ahead of the second"
    );
}

#[test]
fn after_a_search_in_vain_bad_frames_cost_no_derivation_and_good_steps_are_found_again_after_the_pause() {
    let keys = chain(b"a", 1);
    let bad = key(b"stranger");
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    assert_eq!(receiver.open_to_the_end(&frame(&bad, 1, b"x")), OpenOutcome::Failed);
    assert_eq!(receiver.derived, 16);
    for number in 2..50 {
        assert_eq!(receiver.open(0, &frame(&bad, number, b"x")), OpenOutcome::Failed);
    }
    receiver.pass(SEARCH_PAUSE - std::time::Duration::from_micros(1));
    assert_eq!(receiver.open(0, &frame(&keys[1], 50, b"x")), OpenOutcome::Failed, "still paused");
    receiver.pass(std::time::Duration::from_micros(1));
    assert_eq!(
        receiver.open(0, &frame(&bad, 51, b"x")),
        OpenOutcome::Failed,
        "the steps are known, and all fail"
    );
    assert_eq!(receiver.open(0, &frame(&keys[1], 52, b"x")), OpenOutcome::Failed, "a pause starts again");
    receiver.pass(SEARCH_PAUSE);
    assert_eq!(receiver.open(0, &frame(&keys[1], 53, b"x")), opened(b"x"));
    receiver.settle();
    assert_eq!(receiver.derived, 16, "each step was derived once");
}

#[test]
fn a_clock_that_steps_back_ends_no_pause() {
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    receiver.pass(SEARCH_PAUSE * 10);
    assert_eq!(receiver.open_to_the_end(&frame(&key(b"bad"), 1, b"x")), OpenOutcome::Failed);
    receiver.now = Instant::ZERO;
    assert_eq!(receiver.open(0, &frame(&chain(b"a", 1)[1], 2, b"x")), OpenOutcome::Failed);
}

#[test]
fn a_new_key_ends_the_pause() {
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    assert_eq!(receiver.open_to_the_end(&frame(&key(b"bad"), 1, b"x")), OpenOutcome::Failed);
    receiver.keys.set_key(alice(), 0, &b"b"[..]).unwrap();
    receiver.settle();
    assert_eq!(receiver.open_to_the_end(&frame(&chain(b"b", 2)[2], 2, b"x")), opened(b"x"));
    let old = frame(&key(b"a"), 3, b"x");
    receiver.pass(SEARCH_PAUSE);
    assert_eq!(receiver.open_to_the_end(&old), OpenOutcome::Failed, "a replaced key opens nothing");
}

#[test]
fn the_window_of_one_index_does_not_pause_another() {
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    receiver.keys.set_key(alice(), 1, &b"b"[..]).unwrap();
    receiver.settle();
    assert_eq!(receiver.open_to_the_end(&frame(&key(b"bad"), 1, b"x")), OpenOutcome::Failed);
    let ahead = frame(&chain(b"b", 1)[1], 2, b"x");
    assert_eq!(receiver.open(1, &ahead), OpenOutcome::Wait);
    receiver.settle();
    assert_eq!(receiver.open(1, &ahead), opened(b"x"));
}

#[test]
fn a_frame_shorter_than_its_tag_starts_no_search_and_counts_for_nothing() {
    let mut receiver = Receiver::with_key(KeyOptions { failure_tolerance: 0, ..per_participant() }, b"a");
    let short = ([0; IV_LEN], Payload::from(Bytes::from_static(&[0; 15])));
    assert_eq!(receiver.open(0, &short), OpenOutcome::Failed);
    assert!(receiver.keys.poll_derivation().is_none());
    assert_eq!(receiver.open(0, &frame(&key(b"a"), 1, b"x")), opened(b"x"));
}

#[test]
fn a_manual_ratchet_moves_the_key_and_uses_a_step_that_is_known() {
    let keys = chain(b"a", 3);
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    assert_eq!(receiver.open_to_the_end(&frame(&key(b"bad"), 1, b"x")), OpenOutcome::Failed);
    let id = receiver.keys.ratchet(alice(), 0).unwrap();
    assert_eq!(receiver.open(0, &frame(&keys[1], 2, b"x")), OpenOutcome::Wait, "ahead of the ratchet");
    assert_eq!(receiver.derive_one(), Some(Some(Completion { id, result: Ok(()) })));
    assert_eq!(receiver.open(0, &frame(&keys[1], 3, b"x")), opened(b"x"));
    assert_eq!(receiver.open(0, &frame(&keys[0], 4, b"late")), opened(b"late"));
    assert_eq!(receiver.open(0, &frame(&keys[3], 5, b"y")), opened(b"y"), "the other steps are known too");
}

#[test]
fn ratchets_that_are_asked_for_one_after_another_add_up() {
    let keys = chain(b"a", 3);
    let mut receiver = Receiver::new(KeyOptions { ratchet_window: 0, ..per_participant() });
    receiver.keys.set_key(alice(), 0, &b"a"[..]).unwrap();
    for _ in 0..3 {
        receiver.keys.ratchet(alice(), 0).unwrap();
    }
    receiver.settle();
    assert_eq!(receiver.open(0, &frame(&keys[3], 1, b"x")), opened(b"x"));
    assert_eq!(receiver.open(0, &frame(&keys[1], 2, b"x")), OpenOutcome::Failed);
}

#[test]
fn what_the_application_asks_for_goes_before_a_search() {
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    receiver.keys.set_key(alice(), 1, &b"b"[..]).unwrap();
    let busy = receiver.keys.poll_derivation().unwrap();
    assert_eq!(receiver.open(0, &frame(&key(b"bad"), 1, b"x")), OpenOutcome::Wait);
    let set = receiver.keys.set_key(alice(), 2, &b"c"[..]).unwrap();
    assert!(receiver.keys.poll_derivation().is_none(), "one at a time");
    receiver.keys.handle_derived(busy.run(), receiver.now);
    assert_eq!(receiver.keys.poll_derivation().unwrap().id(), set);
}

#[test]
fn a_search_for_a_key_that_was_replaced_is_not_derived() {
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    receiver.keys.set_key(alice(), 1, &b"b"[..]).unwrap();
    let busy = receiver.keys.poll_derivation().unwrap();
    assert_eq!(receiver.open(0, &frame(&key(b"bad"), 1, b"x")), OpenOutcome::Wait);
    let set = receiver.keys.set_key(alice(), 0, &b"c"[..]).unwrap();
    receiver.keys.handle_derived(busy.run(), receiver.now);
    assert_eq!(receiver.derive_one(), Some(Some(Completion { id: set, result: Ok(()) })));
    assert!(receiver.keys.poll_derivation().is_none());
}

#[test]
fn a_key_is_invalid_after_more_failures_in_a_row_than_tolerated() {
    let options = KeyOptions { ratchet_window: 0, failure_tolerance: 2, ..per_participant() };
    let mut receiver = Receiver::with_key(options, b"a");
    let (good, bad) = (key(b"a"), key(b"bad"));
    for round in 0..2 {
        assert_eq!(receiver.open(0, &frame(&bad, 10 * round, b"x")), OpenOutcome::Failed);
        assert_eq!(receiver.open(0, &frame(&bad, 10 * round + 1, b"x")), OpenOutcome::Failed);
        assert_eq!(receiver.open(0, &frame(&good, 10 * round + 2, b"x")), opened(b"x"), "it starts again");
    }
    assert_eq!(receiver.open(0, &frame(&bad, 20, b"x")), OpenOutcome::Failed);
    assert_eq!(receiver.open(0, &frame(&bad, 21, b"x")), OpenOutcome::Failed);
    assert_eq!(receiver.open(0, &frame(&bad, 22, b"x")), OpenOutcome::InvalidKey);
    assert_eq!(receiver.open(0, &frame(&good, 23, b"x")), OpenOutcome::InvalidKey, "not even tried");
    receiver.keys.set_key(alice(), 0, &b"a"[..]).unwrap();
    assert_eq!(receiver.open(0, &frame(&good, 24, b"x")), OpenOutcome::Wait, "a new key is on its way");
    receiver.settle();
    assert_eq!(receiver.open(0, &frame(&good, 25, b"x")), opened(b"x"));
}

#[test]
fn a_ratchet_makes_an_invalid_key_valid_again() {
    let options = KeyOptions { ratchet_window: 0, failure_tolerance: 0, ..per_participant() };
    let mut receiver = Receiver::with_key(options, b"a");
    assert_eq!(receiver.open(0, &frame(&key(b"bad"), 1, b"x")), OpenOutcome::InvalidKey);
    receiver.keys.ratchet(alice(), 0).unwrap();
    receiver.settle();
    assert_eq!(receiver.open(0, &frame(&chain(b"a", 1)[1], 2, b"x")), opened(b"x"));
}

#[test]
fn with_a_negative_tolerance_a_key_stays_valid() {
    let mut receiver = Receiver::with_key(KeyOptions { ratchet_window: 0, ..per_participant() }, b"a");
    for number in 0..1000 {
        assert_eq!(receiver.open(0, &frame(&key(b"bad"), number, b"x")), OpenOutcome::Failed);
    }
    assert_eq!(receiver.open(0, &frame(&key(b"a"), 1001, b"x")), opened(b"x"));
}

/// A shared key at index 0.
fn shared(ratchet_window: u8, failure_tolerance: i32) -> Receiver {
    let options = KeyOptions { ratchet_window, failure_tolerance, ..KeyOptions::shared(KeyDerivation::Hkdf) };
    let mut receiver = Receiver::new(options);
    receiver.keys.set_key(KeyScope::Shared, 0, &b"a"[..]).unwrap();
    receiver.settle();
    receiver
}

#[test]
fn a_shared_key_is_invalid_only_for_those_whose_frames_fail() {
    let mut receiver = shared(0, 1);
    let (good, bad) = (key(b"a"), key(b"bad"));
    let mut open = |sender: &str, (iv, sealed): ([u8; IV_LEN], Payload)| {
        receiver.keys.open(sender, 0, &iv, &sealed, receiver.now)
    };
    for number in 0..100 {
        let expected = if number < 1 { OpenOutcome::Failed } else { OpenOutcome::InvalidKey };
        assert_eq!(open("mallory", frame(&bad, number, b"x")), expected);
    }
    assert_eq!(open("mallory", frame(&good, 100, b"x")), OpenOutcome::InvalidKey, "not even tried");
    for number in 101..110 {
        assert_eq!(open(ALICE, frame(&good, number, b"x")), opened(b"x"));
    }
    assert_eq!(open(ALICE, frame(&bad, 110, b"x")), OpenOutcome::Failed, "its first one");
    assert_eq!(
        open("mallory", frame(&good, 111, b"x")),
        OpenOutcome::InvalidKey,
        "others' frames say nothing"
    );
}

#[test]
fn setting_a_shared_key_makes_it_valid_for_all() {
    let mut receiver = shared(0, 0);
    for sender in ["mallory", "mike"] {
        let (iv, sealed) = frame(&key(b"bad"), 1, b"x");
        assert_eq!(receiver.keys.open(sender, 0, &iv, &sealed, receiver.now), OpenOutcome::InvalidKey);
    }
    receiver.keys.set_key(KeyScope::Shared, 0, &b"a"[..]).unwrap();
    receiver.settle();
    for sender in ["mallory", "mike"] {
        let (iv, sealed) = frame(&key(b"a"), 2, b"x");
        assert_eq!(receiver.keys.open(sender, 0, &iv, &sealed, receiver.now), opened(b"x"));
    }
}

#[test]
fn of_a_shared_key_a_search_in_vain_keeps_no_one_else_from_searching() {
    let mut receiver = shared(2, -1);
    let mut open = |sender: &str, (iv, sealed): &([u8; IV_LEN], Payload)| loop {
        match receiver.keys.open(sender, 0, iv, sealed, receiver.now) {
            OpenOutcome::Wait => {
                let derivation = receiver.keys.poll_derivation().expect("a frame waits for nothing");
                receiver.keys.handle_derived(derivation.run(), receiver.now);
            }
            outcome => return outcome,
        }
    };
    let bad = key(b"bad");
    assert_eq!(open("mallory", &frame(&bad, 1, b"x")), OpenOutcome::Failed);
    assert_eq!(open("mallory", &frame(&chain(b"a", 1)[1], 2, b"x")), OpenOutcome::Failed, "it pauses");
    assert_eq!(open(ALICE, &frame(&chain(b"a", 1)[1], 3, b"x")), opened(b"x"));
    assert_eq!(open("mallory", &frame(&bad, 4, b"x")), OpenOutcome::Failed);
}

#[test]
fn failures_are_remembered_of_so_many_senders() {
    let mut receiver = shared(0, 0);
    let (good, bad) = (frame(&key(b"a"), 1, b"x"), frame(&key(b"bad"), 2, b"x"));
    let mut open = |sender: usize, (iv, sealed): &([u8; IV_LEN], Payload)| {
        receiver.keys.open(&sender.to_string(), 0, iv, sealed, receiver.now)
    };
    for sender in 0..senders::MAX_SENDERS {
        assert_eq!(open(sender, &bad), OpenOutcome::InvalidKey);
    }
    assert_eq!(open(0, &good), OpenOutcome::InvalidKey);
    assert_eq!(open(senders::MAX_SENDERS, &bad), OpenOutcome::InvalidKey);
    assert_eq!(open(0, &good), opened(b"x"), "forgotten");
    for sender in 1..=senders::MAX_SENDERS {
        assert_eq!(open(sender, &good), OpenOutcome::InvalidKey);
    }
}

#[test]
fn a_search_counts_as_one_failure_and_waiting_as_none() {
    let options = KeyOptions { ratchet_window: 4, failure_tolerance: 1, ..per_participant() };
    let mut receiver = Receiver::with_key(options, b"a");
    assert_eq!(receiver.open_to_the_end(&frame(&key(b"bad"), 1, b"x")), OpenOutcome::Failed);
    assert_eq!(receiver.open_to_the_end(&frame(&key(b"bad"), 2, b"x")), OpenOutcome::InvalidKey);
}

#[test]
fn removing_a_participant_cancels_its_derivations_and_releases_its_frames() {
    let mut receiver = Receiver::new(per_participant());
    let asked = vec![
        receiver.keys.set_key(alice(), 0, &b"a"[..]).unwrap(),
        receiver.keys.set_key(alice(), 1, &b"b"[..]).unwrap(),
    ];
    let sealed = frame(&key(b"a"), 1, b"x");
    assert_eq!(receiver.open(0, &sealed), OpenOutcome::Wait);
    let late = receiver.keys.poll_derivation().unwrap();
    assert_eq!(receiver.keys.remove(&alice()), asked);
    assert_eq!(receiver.keys.poll_retry(), Some(alice()));
    assert_eq!(receiver.open(0, &sealed), OpenOutcome::NoKey);
    // The key was set again meanwhile. The late result belongs to the old key.
    receiver.keys.set_key(alice(), 0, &b"new"[..]).unwrap();
    assert_eq!(receiver.keys.handle_derived(late.run(), receiver.now), None);
    assert_eq!(receiver.open(0, &sealed), OpenOutcome::Wait);
    receiver.settle();
    assert_eq!(receiver.open(0, &frame(&key(b"new"), 2, b"y")), opened(b"y"));
}

#[test]
fn clearing_forgets_all_participants() {
    let mut receiver = Receiver::with_key(per_participant(), b"a");
    let bob = KeyScope::Participant("bob".into());
    let asked = receiver.keys.set_key(bob, 0, &b"b"[..]).unwrap();
    assert_eq!(receiver.keys.clear(), vec![asked]);
    assert!(receiver.keys.poll_derivation().is_none());
    assert_eq!(receiver.open(0, &frame(&key(b"a"), 1, b"x")), OpenOutcome::NoKey);
    let mut retries = vec![receiver.keys.poll_retry().unwrap(), receiver.keys.poll_retry().unwrap()];
    retries.sort_by_key(|scope| format!("{scope:?}"));
    assert_eq!(retries, [alice(), KeyScope::Participant("bob".into())]);
}

#[test]
fn a_derivation_that_failed_says_so_and_lets_no_frame_wait() {
    let mut receiver = Receiver::new(per_participant());
    let id = receiver.keys.set_key(alice(), 0, &b"a"[..]).unwrap();
    let mut derived = receiver.keys.poll_derivation().unwrap().run();
    derived.result = Err(DerivationError);
    let result = Err(E2eeError::Derivation(DerivationError));
    assert_eq!(receiver.keys.handle_derived(derived, receiver.now), Some(Completion { id, result }));
    assert_eq!(receiver.open(0, &frame(&key(b"a"), 1, b"x")), OpenOutcome::NoKey);

    let mut receiver = Receiver::with_key(per_participant(), b"a");
    let ahead = frame(&chain(b"a", 1)[1], 1, b"x");
    assert_eq!(receiver.open(0, &ahead), OpenOutcome::Wait);
    let mut derived = receiver.keys.poll_derivation().unwrap().run();
    derived.result = Err(DerivationError);
    assert_eq!(receiver.keys.handle_derived(derived, receiver.now), None);
    assert_eq!(receiver.open(0, &ahead), OpenOutcome::Failed, "searches pause");
    receiver.pass(SEARCH_PAUSE);
    assert_eq!(receiver.open_to_the_end(&ahead), opened(b"x"));
}

#[test]
fn a_passphrase_and_its_ratchet_open_through_pbkdf2() {
    let options = KeyOptions::per_participant(KeyDerivation::Pbkdf2);
    let mut receiver = Receiver::with_key(options, b"passphrase");
    let first = KeyDerivation::Pbkdf2.derive(&b"passphrase"[..].into()).unwrap();
    let second = KeyDerivation::Pbkdf2.derive(&first.next).unwrap();
    assert_eq!(receiver.open(0, &frame(&first.key, 1, b"x")), opened(b"x"));
    assert_eq!(receiver.open_to_the_end(&frame(&second.key, 2, b"y")), opened(b"y"));
    assert_eq!(receiver.derived, 1);
}

#[test]
fn nothing_prints_keys() {
    let mut receiver = Receiver::with_key(per_participant(), b"SECRET");
    receiver.keys.ratchet(alice(), 0).unwrap();
    let printed = format!("{:?}", receiver.keys);
    assert!(
        printed.contains("participants: 1") && !printed.contains("SECRET") && !printed.contains("83, 69")
    );
}

#[derive(Debug, Clone)]
enum Call {
    Open { participant: u8, index: u8, material: u8, step: usize, number: u64, cut: usize },
    Garbage { participant: u8, index: u8, bytes: Vec<u8> },
    Set { participant: u8, index: u8, material: u8 },
    Ratchet { participant: u8, index: u8 },
    Remove { participant: u8 },
    Clear,
    Derive,
    Deliver { which: usize },
    Pass { millis: u64 },
    PollRetry,
}

fn call() -> impl Strategy<Value = Call> {
    let (participant, index, material) = (0..3u8, 0..18u8, 0..3u8);
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        8 => (participant.clone(), 0..2u8, material.clone(), 0..6usize, 0..5u64, 0..40usize).prop_map(
            |(participant, index, material, step, number, cut)|
                Call::Open { participant, index, material, step, number, cut }),
        1 => (participant.clone(), index.clone(), bytes)
            .prop_map(|(participant, index, bytes)| Call::Garbage { participant, index, bytes }),
        3 => (participant.clone(), 0..2u8, material)
            .prop_map(|(participant, index, material)| Call::Set { participant, index, material }),
        2 => (participant.clone(), index).prop_map(|(participant, index)| Call::Ratchet { participant, index }),
        1 => participant.prop_map(|participant| Call::Remove { participant }),
        1 => Just(Call::Clear),
        6 => Just(Call::Derive),
        6 => any::<usize>().prop_map(|which| Call::Deliver { which }),
        2 => (0..1500u64).prop_map(|millis| Call::Pass { millis }),
        2 => Just(Call::PollRetry),
    ]
}

proptest! {
    /// A publisher that ratchets at any time, and frames that come late or not at all. The model is one number: the
    /// receiver's step.
    #[test]
    fn the_receiver_is_where_the_last_opened_frame_was_sealed(
        window in 0u8..6,
        steps in prop::collection::vec((0usize..7, 0usize..3), 1..25),
    ) {
        let keys = chain(b"a", 200);
        let mut receiver = Receiver::with_key(KeyOptions { ratchet_window: window, ..per_participant() }, b"a");
        let mut at = 0usize;
        let mut publisher = 0usize;
        for (number, (forward, late)) in steps.into_iter().enumerate() {
            // Later than any search pause, so that only the window decides.
            receiver.pass(SEARCH_PAUSE);
            publisher = (publisher + forward).min(at + 8);
            let sealed_at = publisher.saturating_sub(late);
            let outcome = receiver.open_to_the_end(&frame(&keys[sealed_at], number as u64, b"x"));
            let reachable = sealed_at >= at && sealed_at - at <= usize::from(window);
            if reachable || sealed_at + 1 == at {
                prop_assert_eq!(outcome, opened(b"x"));
                at = at.max(sealed_at);
            } else {
                prop_assert_eq!(outcome, OpenOutcome::Failed);
            }
        }
        prop_assert!(receiver.derived <= at + usize::from(window), "each step once");
    }

    /// Any calls in any order. Nothing panics. There is one derivation for each participant at a time. Each request
    /// ends exactly once. An opened frame equals the sealed one. Nothing waits for ever.
    #[test]
    fn any_calls_in_any_order(window in 0u8..4, tolerance in -1i32..4, calls in prop::collection::vec(call(), 1..150)) {
        let options = KeyOptions { ratchet_window: window, failure_tolerance: tolerance, ..per_participant() };
        let mut receiver = Receiver::new(options);
        let chains: Vec<_> = (0..3).map(|material| chain(&[material + 1], 6)).collect();
        let name = |participant: u8| format!("p{participant}");
        let scope = |participant: u8| KeyScope::Participant(name(participant).into());
        // Each derivation, with whether its participant's keys are still those that asked for it.
        let mut flying: Vec<(Derivation, bool)> = Vec::new();
        let mut asked = std::collections::HashSet::new();
        for call in calls {
            match call {
                Call::Open { participant, index, material, step, number, cut } => {
                    let (iv, sealed) = frame(&chains[usize::from(material)][step], number, b"payload");
                    let whole = sealed.to_bytes();
                    let cut = cut.min(whole.len());
                    let sealed = Payload::from_pieces(vec![whole.slice(..cut), whole.slice(cut..)]);
                    match receiver.keys.open(&name(participant), index, &iv, &sealed, receiver.now) {
                        OpenOutcome::Opened(payload) => prop_assert_eq!(&payload[..], b"payload"),
                        OpenOutcome::InvalidKey => prop_assert!(tolerance >= 0),
                        _ => {}
                    }
                    prop_assert_eq!(sealed.to_bytes(), whole);
                }
                Call::Garbage { participant, index, bytes } => {
                    let sealed = Payload::from(Bytes::from(bytes));
                    let outcome = receiver.keys.open(&name(participant), index, &[9; 12], &sealed, receiver.now);
                    prop_assert!(!matches!(outcome, OpenOutcome::Opened(_)));
                    prop_assert!(index < 16 || outcome == OpenOutcome::NoKey);
                }
                Call::Set { participant, index, material } => {
                    let id = receiver.keys.set_key(scope(participant), index, vec![material + 1]).unwrap();
                    prop_assert!(asked.insert(id));
                }
                Call::Ratchet { participant, index } => {
                    if let Ok(id) = receiver.keys.ratchet(scope(participant), index) {
                        prop_assert!(asked.insert(id));
                    }
                }
                Call::Remove { participant } => {
                    for id in receiver.keys.remove(&scope(participant)) {
                        prop_assert!(asked.remove(&id));
                    }
                    for (derivation, live) in &mut flying {
                        *live &= derivation.scope != Some(scope(participant));
                    }
                }
                Call::Clear => {
                    for id in receiver.keys.clear() {
                        prop_assert!(asked.remove(&id));
                    }
                    prop_assert!(asked.is_empty());
                    flying.iter_mut().for_each(|(_, live)| *live = false);
                }
                Call::Derive => {
                    if let Some(derivation) = receiver.keys.poll_derivation() {
                        prop_assert!(!flying.iter().any(|(other, live)| *live && other.scope == derivation.scope));
                        flying.push((derivation, true));
                    }
                }
                Call::Deliver { which } if !flying.is_empty() => {
                    let (derivation, live) = flying.swap_remove(which % flying.len());
                    let id = derivation.id();
                    if let Some(done) = receiver.keys.handle_derived(derivation.run(), receiver.now) {
                        prop_assert!(live && done.id == id && asked.remove(&id));
                        prop_assert_eq!(done.result, Ok(()));
                    }
                }
                Call::Deliver { .. } => {}
                Call::Pass { millis } => receiver.pass(std::time::Duration::from_millis(millis)),
                Call::PollRetry => drop(receiver.keys.poll_retry()),
            }
        }
        for (derivation, _) in flying {
            if let Some(done) = receiver.keys.handle_derived(derivation.run(), receiver.now) {
                prop_assert!(asked.remove(&done.id));
            }
        }
        while let Some(derivation) = receiver.keys.poll_derivation() {
            if let Some(done) = receiver.keys.handle_derived(derivation.run(), receiver.now) {
                prop_assert!(asked.remove(&done.id));
            }
        }
        prop_assert!(asked.is_empty(), "asked for and never done: {:?}", asked);
    }
}
