"""Classes for what is made for every batch."""

from poller.core.fact import Word, fact


@fact
class Pair:
    first: int
    second: int = 2


class Colour(Word):
    RED = "red"


def test_a_fact_is_its_values_and_no_more() -> None:
    """Equal by value; with slots, which is what makes it small."""
    assert Pair(1) == Pair(1, 2) != Pair(2)

    @fact
    class Local:
        only: int

    assert not hasattr(Local(1), "__dict__")


def test_a_word_is_found_by_its_text() -> None:
    assert {"red": 1}[Colour.RED] == {Colour.RED: 1}["red"] == 1
