"""A contract's value survives JSON: nothing is lost, nothing else is taken."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.values import encode
from primitives.errors import Refused
from shards.node.json_values import MAX_PLAIN_INTEGER, from_json, to_json

INTEGERS = st.integers(-(2**256) + 1, 2**256 - 1)
DECIMALS = st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(map(int, str(digits))), exponent)),
    st.sampled_from((0, 1)),
    st.integers(0, 10**30),
    st.integers(-99, 99),
)
LEAVES = st.none() | st.booleans() | INTEGERS | st.text(max_size=20) | st.binary(max_size=20) | DECIMALS
KEYS = st.text(max_size=8) | INTEGERS | st.binary(max_size=8) | st.sampled_from(("$int", "$map", "$"))
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(VALUES)
@settings(deadline=None, max_examples=300)
def test_a_value_comes_back_from_json_byte_for_byte(value: Any) -> None:
    text = json.dumps(to_json(value))
    assert encode(from_json(json.loads(text))) == encode(value)


@given(VALUES)
@settings(deadline=None, max_examples=100)
def test_no_number_in_the_json_is_one_that_javascript_would_round(value: Any) -> None:
    def numbers(data: Any) -> list[int]:
        if isinstance(data, dict):
            return [number for item in data.values() for number in numbers(item)]
        if isinstance(data, list):
            return [number for item in data for number in numbers(item)]
        return [data] if isinstance(data, int) else []

    assert all(abs(number) <= MAX_PLAIN_INTEGER for number in numbers(to_json(value)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (1.5, "float"),
        ({"$int": 5}, "digits as text"),
        ({"$int": "5x"}, "digits as text"),
        ({"$int": "9" * 5000}, "digits as text"),
        ({"$bytes": "0g"}, "hexadecimal"),
        ({"$bytes": 5}, "hexadecimal"),
        ({"$decimal": "NaN"}, "finite"),
        ({"$decimal": "nothing"}, "finite"),
        ({"$map": [[1]]}, "pairs"),
        ({"$map": [[True, 1]]}, "text, integers or bytes"),
        ({"$map": [[[], 1]]}, "text, integers or bytes"),
        ({"$who": 1}, "mark other types"),
        ({"$int": "1", "other": 2}, "mark other types"),
        ({"$int": str(2**256)}, "257 bits"),
        ([[[[]] * 20000]], "longer than"),
        ("\ud800", "surrogate pair"),
    ],
)
def test_what_is_no_value_is_refused_with_what_to_write_instead(data: Any, said: str) -> None:
    with pytest.raises(Refused, match=said) as refusal:
        from_json(data)
    assert refusal.value.code == "bad_value"
