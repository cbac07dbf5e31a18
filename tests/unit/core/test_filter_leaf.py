"""The tables of one field by themselves: what only several ways at once, or numbers of many digits, can show."""

from ipaddress import ip_network

import pytest

from poller.core.filter_leaf import Leaf
from poller.core.filter_operators import EXACT, Cidr, Prefix, Same, SameNumber, number_key, text_predicate

EVERYTHING = 0b111


@pytest.mark.parametrize("bit", [0b001, 0b010, 0b100])
def test_a_text_passes_the_ways_whose_tests_it_passes_and_no_others(bit: int) -> None:
    """FLT-2, FLT-13."""
    other = 0b010 if bit == 0b001 else 0b001
    leaf = Leaf([(bit, (Prefix("x"),)), (other, (Same("y"),))], EVERYTHING)
    assert leaf.bits("xa") == bit
    assert leaf.bits("y") == other
    assert leaf.bits("z") == 0


@pytest.mark.parametrize("value", [{}, [], [1], {"x": 1}])
def test_what_is_no_plain_value_passes_no_way(value: object) -> None:
    """FLT-2."""
    assert Leaf([(1, (Prefix("x"),)), (2, (SameNumber(1),))], 3).bits(value) == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_whole_numbers_of_many_digits_are_the_same_by_fifteen(sign: int) -> None:
    """FLT-24."""
    leaf = Leaf([(1, (SameNumber(number_key(sign * 9_999_999_999_999_999)),))], 1)
    assert leaf.bits(sign * 9_999_999_999_999_998) == 1
    assert leaf.bits(sign * 9_999_999_999_999_000) == 0
    assert leaf.bits(-sign * 9_999_999_999_999_998) == 0


@pytest.mark.parametrize("value", [EXACT - 1, 1 - EXACT, EXACT, -EXACT, EXACT + 1, -EXACT - 1])
def test_a_number_is_the_same_as_itself(value: int) -> None:
    """FLT-24: also where the digits that count begin to be fewer than it has."""
    assert Leaf([(1, (SameNumber(number_key(value)),))], 1).bits(value) == 1
    assert Leaf([(1, (SameNumber(number_key(float(value))),))], 1).bits(value) == 1


def test_the_longest_address_is_read() -> None:
    """FLT-20."""
    inside = text_predicate(Cidr(ip_network("::ffff:0:0/96")))
    assert inside("0000:0000:0000:0000:0000:ffff:255.255.255.255")
    assert not inside("0000:0000:0000:0000:0000:fffe:255.255.255.255")
