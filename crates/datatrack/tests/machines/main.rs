//! The publisher and the subscriber, alone and in pairs, on a clock that the tests turn themselves.
//!
//! What LiveKit's own clients get wrong, and what we do otherwise, each has a test that says so in its name:
//!
//! | known failure or decision | test |
//! | --- | --- |
//! | signals lost in a flood of packets | `reference::signals_in_a_packet_flood_are_lost_by_the_reference_and_kept_by_ours` |
//! | a burst of 17 packets loses its frame | `reference::a_burst_of_17_packets_is_lost_by_the_reference_and_kept_by_ours` |
//! | more than 128 packets sent, never assembled | `queue::a_frame_of_more_than_128_packets_is_refused_before_anything_is_sent` |
//! | a pending publish fails when the connection is rebuilt | `republish::a_pending_publication_survives_a_rebuilt_connection` |
//! | … however long that takes | `republish::no_request_times_out_while_there_is_no_connection` |
//! | a refused republish stays "published" with a full queue for ever | `republish::a_refused_republish_ends_the_track_and_pushes_say_unpublished` |
//! | subscribing again at once gives a stream that ends | `subscribe::subscribing_again_at_once_after_closing_works` |
//! | … though the SFU's table stays as it was | `subscribe::an_unchanged_table_is_answer_enough_once_packets_come` |
//! | a retry after a timeout never asks the SFU | `subscribe::a_retry_after_a_timeout_asks_the_sfu_again` |
//! | unpublished while pending ends as disconnected | `subscribe::unpublishing_while_pending_ends_streams_as_unpublished` |
//! | a duplicate response orphans the track | `publish::the_same_response_twice_changes_nothing` |
//! | buffer size rounded, the second one ignored | `subscribe::each_stream_has_exactly_the_buffer_it_asked_for` |
//! | timestamp 0 dropped | `queue::an_empty_frame_and_a_timestamp_of_zero_arrive` |
//! | packet timestamps never advance | `queue::packet_timestamps_advance_at_90_khz_from_the_given_base` |
//! | order lost when opening frames takes different times | `encryption::frames_that_wait_for_a_ratchet_step_keep_their_order` |
//! | plain tracks in an encrypted session fail by accident | `encryption::a_plain_track_is_refused_in_an_encrypted_session_unless_allowed` |
//! | downgrade by the SFU's answer, both ways | `publish::an_answer_without_the_encryption_asked_for_fails_the_publish`, `publish::an_answer_with_encryption_that_was_not_requested_fails_the_publish` |
//! | ciphertext handed out as a frame | `encryption::ciphertext_is_never_handed_out` |
//! | an encrypted track without a key says nothing | `encryption::pushing_without_a_key_says_so` |
//! | a wrong key is silent | `encryption::a_wrong_key_is_counted_and_told_once_a_second` |
//! | one bad entry spoils the whole table | `handles::a_handle_of_an_unannounced_track_spoils_nothing` |
//! | packets overtake their handle table | `handles::packets_before_the_table_are_held_and_replayed_in_order` |
//! | handles of the last session mean other tracks | `handles::after_a_rebuild_a_handle_may_be_another_track` |
//! | a final that overtakes an inter loses the frame | `properties::reordered_packets_of_one_frame_lose_nothing` |
//! | counters close | `properties::*`, and after each step of every pair |
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod encryption;
mod handles;
mod latest;
mod messages;
mod properties;
mod publish;
mod queue;
mod reference;
mod republish;
mod subscribe;
mod support;
