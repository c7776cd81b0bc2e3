"""Money is exact: whole base units, parsed and written without loss, never negative, never past 128 bits."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.amounts import (
    BASE_UNITS_PER_OBOL,
    MAX_AMOUNT,
    MAX_SUPPLY,
    Amount,
    format_obol,
    pack_amount,
    parse_obol,
    unpack_amount,
)
from primitives.errors import Refused

amounts = st.integers(0, MAX_AMOUNT).map(Amount)


def code_of(text: str) -> str:
    with pytest.raises(Refused) as caught:
        parse_obol(text)
    return caught.value.code


@given(amounts)
def test_what_is_written_reads_back_and_means_the_same_number(amount: Amount) -> None:
    text = format_obol(amount)
    assert parse_obol(text) == amount
    assert Fraction(text) * BASE_UNITS_PER_OBOL == amount
    assert not text.endswith(".")
    assert not ("." in text and text.endswith("0"))


@given(amounts)
def test_an_amount_is_sixteen_bytes_whose_order_is_its_order(amount: Amount) -> None:
    raw = pack_amount(amount)
    assert raw == amount.to_bytes(16, "big")
    assert unpack_amount(raw) == amount


@pytest.mark.parametrize(
    ("text", "base_units"),
    [
        ("0", 0),
        ("25", 25_000_000),
        ("0.5", 500_000),
        ("1.000001", 1_000_001),
        (" 007.10 ", 7_100_000),
        ("1_000", 10**9),
    ],
)
def test_amounts_as_people_write_them(text: str, base_units: int) -> None:
    assert parse_obol(text) == base_units


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-1",
        "+1",
        "1.",
        ".5",
        "1e3",
        "1.0000001",
        "1,5",
        "0x10",
        "nan",
        "inf",
        "1 2",
        "١",
        "²",
        "1\n2",
        "1" * 34,
    ],
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    assert code_of(text) == "bad_amount"


def test_the_largest_amount_is_read_and_the_next_one_refused() -> None:
    assert parse_obol(format_obol(MAX_AMOUNT)) == MAX_AMOUNT
    assert code_of(format_obol(Amount(MAX_AMOUNT + 1))) == "amount_out_of_range"


@pytest.mark.parametrize("amount", [-1, -(2**200), 2**128, 2**1000])
def test_an_amount_out_of_range_is_refused_in_few_words(amount: int) -> None:
    with pytest.raises(Refused) as caught:
        pack_amount(Amount(amount))
    assert caught.value.code == "amount_out_of_range"
    assert len(caught.value.detail) < 200


def test_an_amount_whose_digits_python_will_not_print_is_refused_all_the_same() -> None:
    with pytest.raises(Refused, match="33220 bits"):
        pack_amount(Amount(10**10_000))


def test_a_refusal_of_a_long_text_is_short() -> None:
    with pytest.raises(Refused) as caught:
        parse_obol("9" * 1_000_000)
    assert len(caught.value.detail) < 200


def test_negative_amounts_can_be_shown_although_not_held() -> None:
    assert format_obol(Amount(-1_500_000)) == "-1.5"


def test_the_whole_supply_can_be_sent_two_hundred_million_times_over() -> None:
    assert MAX_AMOUNT // MAX_SUPPLY >= 200_000_000
