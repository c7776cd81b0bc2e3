"""Fixtures, a marker, options and reports. pytest loads this in every project of a user, so it imports nothing else.

The simulator is imported when a test first asks for `net`; the contract machine is loaded with the first contract.
"""

import sys
from collections.abc import Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from testnet.pytest_plugin.imports import OwnPackages

if TYPE_CHECKING:
    from testnet.virtual import Account, Net

NET = pytest.StashKey["Net"]()
"""Where a test keeps its net, for the verdict at its end."""

DEFAULTS = {"shards": 3, "validators": 1, "seed": 7}
"""One validator for each shard is a whole chain, and four times as fast as four that can be broken one by one."""

MARKER = (
    "ostraka(shards=3, validators=1, seed=7): size and seed of the virtual testnet that the `net` fixture makes; "
    "validators are for each shard"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--ostraka-seed` and the ini options."""
    group = parser.getgroup("ostraka", "virtual testnets")
    group.addoption("--ostraka-seed", type=int, default=None, metavar="N", help="seed of every virtual testnet")
    parser.addini("ostraka_shards", "shards of a virtual testnet (3)", default="")
    parser.addini("ostraka_validators", "validators of each of its shards (1)", default="")
    parser.addini("ostraka_seed", "its seed, which decides everything that chance does (7)", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known; from here on our packages are imported as they are."""
    config.addinivalue_line("markers", MARKER)
    finder = OwnPackages()
    sys.meta_path.insert(0, finder)
    config.add_cleanup(lambda: sys.meta_path.remove(finder))


@pytest.fixture
def net(request: pytest.FixtureRequest) -> "Iterator[Net]":
    """A testnet in virtual time, at its genesis: every test has its own."""
    from testnet.simulator.machine import shared_machine  # noqa: PLC0415 - see the module's docstring
    from testnet.virtual import Net  # noqa: PLC0415 - as above

    shared_machine().progress = partial(_tell, request.config)
    options = _options(request.node)
    made = Net(**options, folders=_folders(request), replay=_replay(request.node, options["seed"]))
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test how to see it again."""
    report = yield
    made = item.stash.get(NET, None)
    if report.failed and made is not None:
        report.sections.append(("ostraka", f"{made.where()}\nagain: {made.replay}"))
    return report


def _tell(config: pytest.Config, stage: str) -> None:
    """Say what a first test waits for. Workers of xdist have no terminal."""
    capture = config.pluginmanager.getplugin("capturemanager")
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if stage == "compiling" and capture is not None and terminal is not None:
        with capture.global_and_fixture_disabled():
            terminal.write_line("ostraka: compiling the contract machine, once for this user: 10 to 20 seconds ...")


def _options(item: pytest.Item) -> dict[str, int]:
    """Size and seed: the command line's seed, else the marker's, else the ini file's, else the default."""
    options = {name: int(item.config.getini(f"ostraka_{name}") or number) for name, number in DEFAULTS.items()}
    marker = item.get_closest_marker("ostraka")
    if marker is not None:
        unknown = [*map(repr, marker.args), *(name for name in marker.kwargs if name not in DEFAULTS)]
        if unknown:
            raise pytest.UsageError(f"@pytest.mark.ostraka takes {', '.join(DEFAULTS)}, not {', '.join(unknown)}")
        options |= marker.kwargs
    seed = item.config.getoption("--ostraka-seed")
    return options if seed is None else options | {"seed": seed}


def _folders(request: pytest.FixtureRequest) -> list[Any]:
    """Where contracts are looked for: from the test's folder up to pytest's root."""
    here, root = request.path.parent, request.config.rootpath
    return [here, *(folder for folder in here.parents if root in (folder, *folder.parents))]


def _replay(item: pytest.Item, seed: int) -> str:
    return f'pytest "{item.nodeid}" --ostraka-seed {seed}'
