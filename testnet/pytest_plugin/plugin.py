"""Fixtures, a marker, options and reports. pytest loads this in every project of a user, so it imports nothing else.

The simulator is imported when a test first asks for `net`; the contract machine is loaded with the first contract.
"""

import sys
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testnet.pytest_plugin.imports import OwnPackages
from testnet.pytest_plugin.seeds import check_options, options_of, parametrise
from testnet.pytest_plugin.stash import GIVEN, NET, TEARDOWN_ERROR

if TYPE_CHECKING:
    from testnet.virtual import Account, Net

MARKER = (
    "ostraka(shards=3, validators=1, seed=7): size and seed of the virtual testnet that the `net` fixture makes; "
    "validators are for each shard"
)

SEEDS_MARKER = (
    "seeds(count): run a test that uses `net` once for each of `count` seeds, from its own seed on; "
    "--ostraka-seeds overrides the number, --ostraka-seed runs that seed alone"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the command line and of the ini file."""
    group = parser.getgroup("ostraka", "virtual testnets")
    group.addoption("--ostraka-seed", type=int, default=None, metavar="N", help="seed of every virtual testnet")
    group.addoption(
        "--ostraka-seeds",
        type=int,
        default=None,
        metavar="N",
        help="how many seeds tests run that are marked with seeds",
    )
    group.addoption(
        "--ostraka-faults",
        default=None,
        metavar="FILE",
        help="play these faults instead of those that net.fault.chaos and net.fault.play are asked for",
    )
    group.addoption(
        "--ostraka-no-minimise",
        action="store_true",
        help="do not run a failed test again to find which of its faults it needs",
    )
    parser.addini("ostraka_shards", "shards of a virtual testnet (3)", default="")
    parser.addini("ostraka_validators", "validators of each of its shards (1)", default="")
    parser.addini("ostraka_seed", "its seed, which decides everything that chance does (7)", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known; from here on our packages are imported as they are."""
    check_options(config)
    config.addinivalue_line("markers", MARKER)
    config.addinivalue_line("markers", SEEDS_MARKER)
    finder = OwnPackages()
    sys.meta_path.insert(0, finder)
    config.add_cleanup(lambda: sys.meta_path.remove(finder))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make as many tests of one as it is marked to have seeds."""
    parametrise(metafunc)


@pytest.fixture
def ostraka_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test's `net`."""
    return int(request.param) if hasattr(request, "param") else options_of(request.node)["seed"]


@pytest.fixture
def net(request: pytest.FixtureRequest, ostraka_seed: int) -> "Iterator[Net]":
    """A testnet in virtual time, at its genesis: every test has its own."""
    from testnet.simulator.machine import shared_machine  # noqa: PLC0415 - see the module's docstring
    from testnet.virtual import Net  # noqa: PLC0415 - as above

    shared_machine().progress = partial(_tell, request.config)
    options = options_of(request.node) | {"seed": ostraka_seed}
    made = Net(**options, folders=_folders(request), replay=_replay(request.node, ostraka_seed))
    made.fault.plans.given = _plans(request.node)
    request.node.stash[NET] = made
    yield made
    # pytest keeps its items to the end of the session, a network takes megabytes.
    del request.node.stash[NET]


def _person(name: str) -> Any:
    def person(net: "Net") -> "Account":
        return net.account(name)

    person.__doc__ = f"{name.title()}'s account: a million obols on every shard."
    return pytest.fixture(person, name=name)


alice = _person("alice")
bob = _person("bob")
carol = _person("carol")
dave = _person("dave")
erin = _person("erin")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Let a test of Hypothesis begin each example anew; at the end of every test, see whether the chain is sound."""
    made = item.stash.get(NET, None)
    if made is None:
        return (yield)
    if getattr(item.obj, "is_hypothesis_test", False):  # type: ignore[attr-defined]  # functions have it
        from testnet.pytest_plugin.examples import anchored  # noqa: PLC0415 - needs Hypothesis

        with anchored(item, made):
            result = yield
    else:
        result = yield
    made.check()
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test how to see it again, and which of its faults it needs."""
    report = yield
    made = item.stash.get(NET, None)
    if report.failed and made is not None:
        again = f"again: {made.replay}"
        where = made.where()
        plans = made.fault.plans
        if call.when == "call" and call.excinfo is not None and plans.played and plans.given is None:
            from testnet.pytest_plugin.minimising import explain  # noqa: PLC0415 - needs the simulator

            again = explain(item, made, call.excinfo.value)
        report.sections.append(("ostraka", f"{where}\n{again}"))
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Report what the teardown of a run raised that was followed by others."""
    yield
    if TEARDOWN_ERROR in item.stash:
        error = item.stash[TEARDOWN_ERROR]
        del item.stash[TEARDOWN_ERROR]
        raise error


def _tell(config: pytest.Config, stage: str) -> None:
    """Say what a first test waits for. Workers of xdist have no terminal."""
    capture = config.pluginmanager.getplugin("capturemanager")
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if stage == "compiling" and capture is not None and terminal is not None:
        with capture.global_and_fixture_disabled():
            terminal.write_line("ostraka: compiling the contract machine, once for this user: 10 to 20 seconds ...")


def _folders(request: pytest.FixtureRequest) -> list[Any]:
    """Where contracts are looked for: from the test's folder up to pytest's root."""
    here, root = request.path.parent, request.config.rootpath
    return [here, *(folder for folder in here.parents if root in (folder, *folder.parents))]


def _plans(item: pytest.Item) -> Any:
    """What this test's net is to play, when not what it is asked for."""
    from primitives.errors import Refused  # noqa: PLC0415 - see the module's docstring
    from testnet.virtual.schedules import read_plans  # noqa: PLC0415 - as above

    name = item.config.getoption("--ostraka-faults")
    if GIVEN in item.stash or name is None:
        return item.stash.get(GIVEN, None)
    here, root = Path(name), item.config.rootpath / name
    try:
        return read_plans(here if here.exists() else root)
    except Refused as refused:
        raise pytest.UsageError(f"--ostraka-faults: {refused.detail}") from None


def _replay(item: pytest.Item, seed: int) -> str:
    faults = item.config.getoption("--ostraka-faults")
    return f'pytest "{item.nodeid}" --ostraka-seed {seed}' + (f" --ostraka-faults {faults}" if faults else "")
