"""The clients and streams of the acceptance tests, for tests that put faults before them."""

from tests.acceptance.conftest import _parent_of_daemons, aws_client, new_stream

__all__ = ["_parent_of_daemons", "aws_client", "new_stream"]
