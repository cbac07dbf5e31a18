"""Where a server with DynamoDB that others wrote is known to differ from AWS: see sqs_deviations.py."""

from typing import Final

_ACCEPTS: Final = "accepts it"

DEVIATIONS: Final[dict[tuple[str, str], str]] = {
    ("dynamodb-local", "test_a_sequence_number_has_digits"): "fails with an internal error",
    ("ministack", "test_a_table_is_made_once"): "enables a stream that is enabled",
    ("ministack", "test_a_wrong_update_is_refused[syntax]"): _ACCEPTS,
    ("ministack", "test_a_wrong_update_is_refused[twice]"): _ACCEPTS,
    ("ministack", "test_another_spelling_is_no_change"): "writes a record of it",
    ("ministack", "test_conditions[x <> y-True]"): "takes two attributes that are not there for equal",
    ("ministack", "test_conditions[x = y-False]"): "takes two attributes that are not there for equal",
    ("ministack", "test_more_than_a_thousand_may_not_be_asked_for"): _ACCEPTS,
    ("ministack", "test_sizes_are_told"): "tells 0",
}

# What would take long, or is right by chance now and then.
NOT_RUN: Final[dict[tuple[str, str], str]] = {
    ("dynamodb-local", "test_times_of_creation_have_whole_seconds"): "tells the minute only",
    ("ministack", "test_what_expired_is_deleted_by_the_service"): "takes a minute, and leaves no record",
}
