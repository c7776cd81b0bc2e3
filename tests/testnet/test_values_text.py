"""Arguments as people type them."""

from decimal import Decimal

import pytest

from contracts.values import Value
from primitives.errors import Refused
from testnet.run_file import AccountRun, RunInfo
from testnet.values_text import parse_argument, parse_json_list, shown

INFO = RunInfo(
    ostraka="0", home="", genesis="", chain_id="", launcher_pid=0, control="", shards=3, validators=4, nodes=(),
    accounts={"alice": AccountRun("osk1alice", "00")},
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("0x10", 16),
        ("1.50", Decimal("1.50")),
        ("-0.1", Decimal("-0.1")),
        ("true", True),
        ("True", True),
        ("null", None),
        ("None", None),
        ('"owl"', "owl"),
        ("'owl'", "owl"),
        ("owl", "owl"),
        ("snowy owl", "snowy owl"),
        ("shop@0", "shop@0"),
        ("", ""),
        ("b'\\x00'", b"\0"),
        ("[1, [2]]", [1, [2]]),
        ("(1, 'a')", [1, "a"]),
        ('{"a": 1}', {"a": 1}),
        ("{1: b'x'}", {1: b"x"}),
        ('{"$bytes": "00ff"}', b"\0\xff"),
        ("[1.5]", [Decimal("1.5")]),
        ("@alice", "osk1alice"),
        ("12345678901234567890", 12345678901234567890),
        ("__import__('os')", "__import__('os')"),
    ],
)
def test_an_argument_is_json_or_python_or_else_text(text: str, value: Value) -> None:
    parsed = parse_argument(text, INFO)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["@nobody", '{"$bytes": 5}', "{1, 2}", "1e999999", str(2**300), "x" * 70_000, "1j"])
def test_what_no_contract_could_take_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_argument(text, INFO)
    assert refusal.value.code == "bad_value"


def test_arguments_of_init_are_a_list_or_one_value() -> None:
    assert parse_json_list(None, INFO) == []
    assert parse_json_list('["owl", 5]', INFO) == ["owl", 5]
    assert parse_json_list("5", INFO) == [5]


@pytest.mark.parametrize("value", ["owl", 'a "quoted" owl', 5, Decimal("1.50"), b"\0", [1, "a"], {"a": None}, True])
def test_a_value_is_shown_as_it_could_be_typed(value: Value) -> None:
    text = shown(value)
    if not isinstance(value, Decimal):
        assert parse_argument(text) == value
    assert text
