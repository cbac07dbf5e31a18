"""Where a server with Kinesis that others wrote is known to differ from AWS: see sqs_deviations.py."""

from typing import Final

_FUTURE = "takes a time that has not come"
_FOREIGN = "takes a number of any stream"
_NO_CHILDREN = "tells no ChildShards"
_NO_FILTER = "ignores the filter"
_ALL = "lists shards that were not open then, too"
_NO_RESHARD = "does not know UpdateShardCount"
_SMALL = "counts records only, not bytes"

DEVIATIONS: Final[dict[tuple[str, str], str]] = {
    ("kinesalite", "test_a_closed_shard_is_not_split_again"): "accepts it",
    ("kinesalite", "test_a_filter_of_shards[after]"): _NO_FILTER,
    ("kinesalite", "test_a_filter_of_shards[horizon]"): _NO_FILTER,
    ("kinesalite", "test_a_filter_of_shards[latest]"): _NO_FILTER,
    ("kinesalite", "test_a_filter_of_shards_by_time"): _NO_FILTER,
    ("kinesalite", "test_a_page_has_ten_megabytes_at_most"): _SMALL,
    ("kinesalite", "test_another_number_of_shards[double]"): _NO_RESHARD,
    ("kinesalite", "test_another_number_of_shards[halve]"): _NO_RESHARD,
    ("kinesalite", "test_another_number_of_shards[uneven]"): _NO_RESHARD,
    ("kinesalite", "test_how_far_behind"): "always tells 0",
    ("kinesalite", "test_shards_come_in_pages_found_by_the_token_alone"): "has no pages",
    ("kinesalite", "test_the_end_of_a_merged_shard_names_both_parents"): _NO_CHILDREN,
    ("kinesalite", "test_the_end_of_a_shard_names_its_children"): _NO_CHILDREN,
    ("kinesis-local", "test_a_filter_of_shards[horizon]"): _ALL,
    ("kinesis-local", "test_a_sequence_number_of_another_stream"): _FOREIGN,
    (
        "kinesis-local",
        "test_the_sequence_numbers_of_a_closed_shard",
    ): "the ending sequence number is below the starting one",
    ("kinesis-local", "test_an_iterator_that_is_none"): "answers 500",
    ("kinesis-local", "test_at_a_time_that_has_not_come"): _FUTURE,
    ("ministack", "test_a_page_has_ten_megabytes_at_most"): _SMALL,
    ("ministack", "test_a_sequence_number_of_another_stream"): _FOREIGN,
    ("ministack", "test_a_token_stands_alone"): "takes the name beside it",
    ("ministack", "test_an_iterator_of_a_deleted_stream"): "calls it expired",
    ("ministack", "test_an_iterator_that_is_none"): "calls it expired",
    ("ministack", "test_at_a_time_that_has_not_come"): _FUTURE,
    ("ministack", "test_no_more_than_ten_thousand_are_asked_for"): "takes any limit",
    ("ministack", "test_sequence_numbers_have_56_digits"): "30 digits",
    ("ministack", "test_shards_come_in_pages_found_by_the_token_alone"): "wants the name beside the token",
    ("roto", "test_a_filter_of_shards[horizon]"): _ALL,
    ("roto", "test_a_filter_of_shards_by_time"): "does not know these filters",
    ("roto", "test_a_sequence_number_of_another_stream"): _FOREIGN,
    ("roto", "test_a_token_stands_alone"): "takes the name beside it",
    ("roto", "test_an_iterator_of_a_deleted_stream"): "calls it invalid",
    ("roto", "test_at_a_time_that_has_not_come"): _FUTURE,
    ("roto", "test_records_after_a_split_are_in_the_children"): "counts each shard's numbers from 1",
    ("roto", "test_sequence_numbers_have_56_digits"): "counts from 1",
    ("roto", "test_the_end_of_a_merged_shard_names_both_parents"): _NO_CHILDREN,
    ("roto", "test_the_end_of_a_shard_names_its_children"): _NO_CHILDREN,
}

# These are not run at all, for what would come of it.
NOT_RUN: Final = {
    ("kinesis-local", "test_a_filter_of_shards_by_time"): "mostly lists too many, and now and then it does not",
    ("kinesalite", "test_a_token_stands_alone"): "ends at a token that it does not know",
    ("kinesis-local", "test_a_page_has_ten_megabytes_at_most"): "takes half a minute for it",
}
