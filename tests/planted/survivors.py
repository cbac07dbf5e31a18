"""Mutants of the core that no test can kill, because nobody outside could see the difference; and why.

One that changes what somebody may rely on does not belong here: it wants a test.
"""

from typing import Final

from tests.planted import (
    survivors_filters,
    survivors_mappings,
    survivors_queues,
    survivors_streams,
    survivors_watching,
)

_ALL = (survivors_filters, survivors_mappings, survivors_queues, survivors_streams, survivors_watching)

JUDGED: Final[dict[tuple[str, str, str], str]] = {key: why for one in _ALL for key, why in one.JUDGED.items()}
"""(file, what the line was, what it became): why that is no other behaviour. Lines as mutants.named calls them."""

LINES: Final[dict[tuple[str, str], str]] = {key: why for one in _ALL for key, why in one.LINES.items()}
"""(file, the line): no change of it makes a difference to anybody; why."""
