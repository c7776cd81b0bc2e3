"""What somebody who writes tests waits for: a new project's first run, a bare simulated test, one with contracts.

    python bench/test_author.py

To measure what users have, run it with the Python of an environment that has the wheel and pytest, and nothing else.

A test costs what pytest needs for its setup, call and teardown; the median of many equal tests is shown, and the cost
of the first of them, which loads what all of them use. The machine is compiled before anything is measured. Times are
processor times of one process and its children, so that others on the machine disturb little; wall time stands beside
where somebody waits for it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from shutil import copy
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

from contracts.machine.local import LocalMachine

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PLAIN = ("-q", "-p", "no:cacheprovider")
REPEATS = 5
TESTS = 60

DISTURBING = ("PYTEST_ADDOPTS", "PYTHONDONTWRITEBYTECODE")
"""Bytecode is kept from the first run on, as it is beside installed packages."""

CLOCK = """
import json
from pathlib import Path
from time import process_time

import pytest

SPENT = []

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    before = process_time()
    result = yield
    SPENT.append(process_time() - before)
    return result

def pytest_unconfigure():
    Path("spent.json").write_text(json.dumps(SPENT))
"""

HEAD = """
import pytest
"""

BARE = """
@pytest.mark.parametrize("again", range({tests}))
def test_bare(net, alice, bob, again):
    alice.transfer(bob, 5).settle()
    assert bob.balance() == 10**12 + 5
"""

REMOTE = """
@pytest.mark.parametrize("again", range({tests}))
def test_remote(net, alice, bob, again):
    alice.transfer(bob, 5, to_shard=1).settle()
    assert bob.balance(1) == 10**12 + 5
"""

FOUR = "@pytest.mark.ostraka(validators=4)"

SHOP = """
@pytest.mark.parametrize("again", range({tests}))
def test_shop(net, alice, again):
    shop, stock = net.deploy("shop.py"), net.deploy("stock.py", shard=1)
    prices, wallet = net.deploy("prices.py", shard=2), net.deploy("wallet.py", shard=2)
    alice.send(stock.fill("owl"))
    alice.send(prices.fix("owl", 5))
    alice.send(wallet.deposit(), value=10)
    alice.send(wallet.allow(shop, 5))
    net.settle()
    assert alice.send(shop.buy("owl")).result() == 5
"""

CALL = """
@pytest.mark.parametrize("again", range({tests}))
def test_call(net, alice, again):
    net.deploy("near.py")
    far = net.deploy("far.py", shard=2)
    assert alice.send(net.contract("near", 0).ask("hello")).result() == "hello!"
"""

NEAR = """
from ostraka_contract import call

async def ask(word: str) -> str:
    return await call(2, "far", "answer", word)
"""

FAR = """
def answer(word: str) -> str:
    return word + "!"
"""


class Spent(NamedTuple):
    """Seconds."""

    processor: float
    wall: float

    def __str__(self) -> str:
        return f"{self.processor:.2f} s of processor time, {self.wall:.2f} s of wall"


def spent(*command: str, folder: Path) -> Spent:
    """What a command costs, which has to succeed."""
    began, before = perf_counter(), _children()
    environment = {name: value for name, value in os.environ.items() if name not in DISTURBING}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return Spent(_children() - before, perf_counter() - began)


def _children() -> float:
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def pytest_spent(folder: Path, source: str, tests: int) -> list[float]:
    """Processor seconds of each of so many tests."""
    (folder / "test_it.py").write_text(HEAD + source.format(tests=tests))
    spent(sys.executable, "-m", "pytest", *PLAIN, folder=folder)
    times: list[float] = json.loads((folder / "spent.json").read_text())
    return times


def whole_project(folder: Path, number: int, *, elsewhere: bool) -> tuple[Spent, Spent]:
    """(`ostraka new`, pytest in the new project or, naming it, from the folder around it)."""
    project = folder / f"my-app-{number}{'-there' if elsewhere else ''}"
    new = spent(str(BIN / "ostraka"), "new", project.name, folder=folder)
    if elsewhere:
        return new, spent(sys.executable, "-m", "pytest", *PLAIN, project.name, folder=folder)
    return new, spent(sys.executable, "-m", "pytest", *PLAIN, folder=project)


def show_projects(folder: Path) -> None:
    """`ostraka new my-app && pytest`."""
    for elsewhere in (False, True):
        runs = [whole_project(folder, number, elsewhere=elsewhere) for number in range(REPEATS)]
        total = Spent(*(median(new[i] + tests[i] for new, tests in runs) for i in range(2)))
        first = Spent(*(new + tests for new, tests in zip(*runs[0], strict=True)))
        where = "from the folder around it" if elsewhere else "in it"
        print(f"ostraka new my-app && pytest, {where}: {total}; the first: {first}; goal < 3 s")


def show_tests(folder: Path) -> None:
    """One test of each kind."""
    (folder / "conftest.py").write_text(CLOCK)
    for name in ("shop", "stock", "prices", "wallet"):
        copy(ROOT / "examples" / "shop" / f"{name}.py", folder)
    (folder / "near.py").write_text(NEAR)
    (folder / "far.py").write_text(FAR)
    empty = [
        spent(sys.executable, "-c", f"import {name}", folder=folder).processor for name in ("pytest", "testnet.virtual")
    ]
    print(f"import pytest {empty[0]:.2f} s, import testnet.virtual {empty[1]:.2f} s")
    print(f"{'one test, median (the first of a run)':<42} one validator a shard   four a shard")
    for text, source, goal in (
        ("bare simulated test", BARE, 50),
        ("transfer to another shard", REMOTE, 50),
        ("two contracts, a call across shards", CALL, 300),
        ("the shop: four contracts, three shards", SHOP, 300),
    ):
        cells = []
        for marker in ("", FOUR):
            first, *others = (1000 * each for each in pytest_spent(folder, marker + source, 1 + TESTS))
            cells.append(f"{median(others):6.1f} ms ({first:6.1f} ms)")
        print(f"{text:<42}{'   '.join(cells)}   goal < {goal} ms")


def main() -> None:
    """Measure everything and print it."""
    LocalMachine(print).warm(1)
    with TemporaryDirectory() as raw:
        show_projects(Path(raw))
        plain = Path(raw) / "plain"
        plain.mkdir()
        show_tests(plain)


if __name__ == "__main__":
    main()
