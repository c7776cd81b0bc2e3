"""docs/contracts.md: its contracts are checked, its tests run, its tables are complete."""

import re
from pathlib import Path

import pytest

import ostraka_contract
from contracts import gas, limits
from contracts.operations import Operation
from contracts.values import MAX_VALUE_BYTES
from ostraka_contract.api import DEFAULT_DEADLINE_S
from shards.limits import MAX_DEPTH
from testnet.contract_check import check_files
from testnet.contract_check.surface_rules import machine_constant
from tests.support.pytest_in_process import IN_PROCESS

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
BLOCKS = {match[1]: match[0] for match in re.findall(r"```python\n(# (\S+\.py).*?)```", GUIDE, re.DOTALL)}
"""File name to text."""


def section(title: str) -> str:
    return GUIDE[GUIDE.index(f"\n## {title}\n") :].partition("\n\n## ")[0]


def test_every_python_block_of_the_guide_is_a_file() -> None:
    assert len(BLOCKS) == GUIDE.count("```python") == 3


@pytest.mark.parametrize("name", [name for name in BLOCKS if name.startswith("contracts/")])
def test_the_guides_contracts_are_checked_and_its_mistakes_are_found_where_it_says(name: str, tmp_path: Path) -> None:
    path = tmp_path / Path(name).name
    path.write_text(BLOCKS[name], encoding="utf-8")
    marks = [
        (number, code)
        for number, line in enumerate(BLOCKS[name].split("\n"), 1)
        for code in re.findall(r"# <- (\S+)", line)
    ]
    assert [(finding.line, finding.code) for finding in check_files([path], types=False)] == marks


def test_the_guides_tests_pass(pytester: pytest.Pytester) -> None:
    for name, text in BLOCKS.items():
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    result = pytester.runpytest_inprocess(*IN_PROCESS, "-n", "0")
    result.assert_outcomes(passed=11)


def test_the_table_of_the_api_has_every_name_and_no_other() -> None:
    first_cells = re.findall(r"^\| (.*?) \| ", section("The API"), re.MULTILINE)
    named = set(re.findall(r"`(\w+)", " ".join(first_cells))) - {"ostraka_contract"}
    assert named == set(ostraka_contract.__all__)
    assert f"deadline={DEFAULT_DEADLINE_S}," in GUIDE


def test_the_table_of_codes_has_every_code_and_no_other() -> None:
    first_cells = re.findall(r"^\| (`.*?) \| ", section("What is checked"), re.MULTILINE)
    named = set(re.findall(r"`([\w-]+)`", " ".join(first_cells)))
    sources = "".join(path.read_text() for path in (ROOT / "testnet" / "contract_check").glob("*.py"))
    assert named == set(re.findall(r'"([a-z-]+)",\s+Severity\.', sources))


def test_the_modules_named_are_those_of_the_machine() -> None:
    listed = re.search(r"modules can be imported: (.*?)\.\n", GUIDE, re.DOTALL)
    assert listed is not None
    names = [name for name in machine_constant("ALLOWED") if name not in {"__future__", "ostraka_contract"}]
    assert re.split(r",\s+", listed[1]) == names


def test_the_numbers_are_those_of_the_protocol() -> None:
    rows = dict(re.findall(r"^\| (.*?) \| ([\d, ]+).*\|$", section("Gas"), re.MULTILINE))
    numbers = {
        row: [int(n.replace(",", "")) for n in re.split(r", (?=\d)|(?<=\d) ", cell) if n] for row, cell in rows.items()
    }
    assert numbers == {
        "gas": [limits.MAX_CALL_GAS],
        "awaits": [limits.MAX_STRETCHES - 1],
        "calls made": [limits.MAX_CALLS],
        "calls within calls": [MAX_DEPTH],
        "keys written, events, payments between two awaits": [
            limits.MAX_WRITES,
            limits.MAX_EVENTS,
            limits.MAX_TRANSFERS,
        ],
        "journal (reads and replies)": [limits.MAX_JOURNAL_BYTES],
        "a value, all arguments, a result": [MAX_VALUE_BYTES],
        "a key": [limits.MAX_KEY_BYTES],
        "memory": [limits.MAX_MEMORY_BYTES >> 20],
        "deadline": [limits.MAX_DEADLINE_MS // 1000],
        "source": [limits.MAX_SOURCE_BYTES],
    }


def test_the_prices_are_those_of_the_protocol() -> None:
    text = section("Gas")
    prices = {operation: gas.price_of(operation, b"") - gas.ASK_GAS for operation in Operation}
    assert f"A run costs {gas.START_GAS:,}" in text
    assert f"question to the ledger {gas.ASK_GAS}" in text
    assert f"a read {prices[Operation.GET]}, a write {prices[Operation.PUT]}, a call {prices[Operation.CALL]}" in text
    assert f"an event {prices[Operation.EMIT]}, a page of keys {prices[Operation.KEYS]}" in text
    assert f"sets {gas.DEFAULT_CALL_GAS:,} aside" in text
    assert f"{gas.FUEL_PER_GAS:,} instructions" in text
