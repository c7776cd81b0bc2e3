"""docs/testing.md is executed as it stands."""

import re
import shutil
from pathlib import Path

import pytest

from testnet.pytest_plugin.seeds import DEFAULTS
from testnet.virtual import Net
from testnet.virtual.faults import Faults
from tests.plugin.support import INI, run
from tests.plugin.test_plugin import CACHE

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")


def test_every_example_of_the_guide_passes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    contracts = pytester.mkdir("contracts")
    for name in ("shop", "stock", "prices", "wallet"):
        shutil.copy(ROOT / "examples" / "shop" / f"{name}.py", contracts)
    pytester.makeini(INI)
    pytester.makepyfile("\n\n".join(blocks))
    result = run(pytester)
    more = sum(int(count) - 1 for count in re.findall(r"mark\.seeds\((\d+)\)", "".join(blocks)))
    result.assert_outcomes(passed="\n".join(blocks).count("def test_") + more)


UNMET = """
def test_cat(net, shop, alice):
    alice.send(net.contract("prices", 2).fix("cat", 300)).settle()
    tx = alice.send(shop.buy("cat")).settle()
    tx.expect(hop="wallet.charge", outcome="ok")
"""
"""What the guide shows the failure of."""

NAME = "testnet.virtual.errors.Unexpected: "
"""Of the exception: pytest puts it before its text."""


def test_the_failure_that_the_guide_shows_is_what_is_printed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))
    (shown,) = re.findall(r"```\n(expected .*?)```", GUIDE, re.DOTALL)
    fixture = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[0].partition("def test_")[0]
    contracts = pytester.mkdir("contracts")
    for name in ("shop", "stock", "prices", "wallet"):
        shutil.copy(ROOT / "examples" / "shop" / f"{name}.py", contracts)
    pytester.makeini(INI)
    pytester.makepyfile(test_shop=fixture + UNMET)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    printed = [numbers_out(line.removeprefix("E").strip().removeprefix(NAME)) for line in result.outlines]
    for line in shown.splitlines():
        assert numbers_out(line.strip()) in printed


def numbers_out(line: str) -> str:
    """A line without what another version may measure otherwise: gas, heights, times, ids, the widths of columns."""
    return re.sub(r"\s+", " ", re.sub(r"\b[0-9a-f]{4}…|\d[\d,]*", "#", line))


def test_the_guide_names_every_fault_and_nothing_else() -> None:
    named = set(re.findall(r"`(\w+)\(", GUIDE[GUIDE.index("| fault |") : GUIDE.index("## Many faults at once")]))
    there = {name for name in vars(Faults) if not name.startswith("_")} - {"attach", "world"}
    assert named == there


def test_the_guide_tells_the_defaults() -> None:
    net = Net()
    assert {"shards": net.shards, "validators": net.validators, "seed": net.seed} == DEFAULTS
    assert f"ostraka-seed {DEFAULTS['seed']}" in GUIDE
