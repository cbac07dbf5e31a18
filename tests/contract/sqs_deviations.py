"""Where a server that others wrote is known to differ from AWS: (server, test or test[case]) and what it does.

The test then must fail on that server (strict xfail): when a newer version gets it right, its line goes. The
embedded AWS has no line here.
"""

from typing import Final

_NO_RANGE = "does not check this range"
_STALE = "accepts the receipt of a message that is visible again"
_THREADS = "its queues are not made for several threads: now and then a message comes twice"

DEVIATIONS: Final[dict[tuple[str, str], str]] = {
    ("ministack", "test_a_receipt_whose_visibility_ended_does_not_delete"): _STALE,
    ("ministack", "test_a_wrong_attribute_is_refused[name]"): "takes any attribute",
    ("ministack", "test_a_wrong_entry_of_a_send_batch_fails_alone"): _NO_RANGE,
    ("ministack", "test_an_older_receipt_is_accepted"): "refuses it",
    ("ministack", "test_change_visibility_of_a_visible_message_is_refused"): "accepts it",
    ("ministack", "test_deleting_twice_is_no_error"): "answers with a failed entry",
    ("ministack", "test_only_fifo_queues_end_in_fifo"): "makes a standard queue of that name",
    ("ministack", "test_values_out_of_range_are_refused[wait]"): _NO_RANGE,
    ("ministack", "test_values_out_of_range_are_refused[visibility]"): _NO_RANGE,
    ("ministack", "test_values_out_of_range_are_refused[delay]"): _NO_RANGE,
    ("moto", "test_a_duplicate_is_known_after_its_original_was_deleted"): "forgets it with the message",
    ("moto", "test_a_receipt_whose_visibility_ended_does_not_delete"): _STALE,
    ("moto", "test_a_waiting_poll_wakes_when_a_delete_unlocks_the_group"): "looks for locked groups only once",
    ("moto", "test_a_waiting_poll_wakes_when_messages_are_given_back"): "looks for locked groups only once",
    ("moto", "test_a_wrong_attribute_is_refused[number]"): _NO_RANGE,
    ("moto", "test_a_wrong_attribute_is_refused[name]"): "takes any attribute",
    ("moto", "test_change_visibility_of_a_visible_message_is_refused"): "accepts it",
    ("moto", "test_characters_outside_the_set_are_refused"): "accepts them",
    ("moto", "test_deduplication_may_be_of_each_group"): "deduplicates across groups",
    ("moto", "test_delete_batch_as_a_whole_is_refused[eleven]"): "accepts it",
    ("moto", "test_delete_batch_as_a_whole_is_refused[bad id]"): "accepts it",
    ("moto", "test_each_of_many_is_received_once"): _THREADS,
    ("moto", "test_only_fifo_queues_end_in_fifo"): "makes a standard queue of that name",
    ("moto", "test_order_holds_after_the_visibility_of_several_ended"): "skips the first message of the group",
    ("moto", "test_order_holds_under_many_workers_that_give_back"): _THREADS,
    ("moto", "test_redrive_keeps_id_time_and_count"): "has no DeadLetterQueueSourceArn",
    ("moto", "test_sequence_numbers_grow"): "draws them at random",
    ("moto", "test_the_same_deduplication_id_is_accepted_and_not_stored"): "answers with a new message id",
    ("roto", "test_a_duplicate_is_known_after_its_original_was_deleted"): "forgets it with the message",
    ("roto", "test_a_missing_queue_is_named_as_such"): "does not use the modelled type",
    ("roto", "test_a_receipt_whose_visibility_ended_does_not_delete"): _STALE,
    ("roto", "test_a_standard_queue_shows_the_group_and_does_not_lock_it"): "refuses the group",
    ("roto", "test_a_wrong_attribute_is_refused[name]"): "takes any attribute",
    ("roto", "test_change_visibility_of_a_visible_message_is_refused"): "accepts it",
    ("roto", "test_characters_outside_the_set_are_refused"): "accepts them",
    ("roto", "test_deduplication_may_be_of_each_group"): "deduplicates across groups",
    ("roto", "test_redrive_keeps_id_time_and_count"): "starts the dead letter anew",
    ("roto", "test_redrive_unlocks_the_group_and_order_goes_on"): "starts the dead letter anew",
    ("roto", "test_size_limit_is_one_mebibyte"): "keeps the older limit of 256 KiB",
}

# Deviations that take a whole long poll to show themselves, or show themselves only now and then.
NOT_RUN: Final = frozenset(
    {
        ("moto", "test_each_of_many_is_received_once"),
        ("moto", "test_order_holds_under_many_workers_that_give_back"),
        ("moto", "test_a_waiting_poll_wakes_when_a_delete_unlocks_the_group"),
        ("moto", "test_a_waiting_poll_wakes_when_messages_are_given_back"),
    }
)
