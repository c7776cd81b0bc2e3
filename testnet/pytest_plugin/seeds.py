"""Whose seed a test runs with, and `@pytest.mark.seeds(20)`: one test, twenty networks of different luck."""

import pytest

DEFAULTS = {"shards": 3, "validators": 1, "seed": 7}
"""One validator for each shard is a whole chain, and four times as fast as four that can be broken one by one."""

FIXTURE = "ostraka_seed"
"""What `net` rests on; a test that is run with several seeds is parametrised with it."""

MAX_SEEDS = 100_000
"""pytest makes an item of every seed before the first one runs; for more there is `ostraka sweep`."""


def options_of(node: pytest.Item) -> dict[str, int]:
    """Size and seed: the command line's seed, else the marker's, else the ini file's, else the default.

    Raises:
        pytest.UsageError: the marker asks for something else.

    """
    options = {name: int(node.config.getini(f"ostraka_{name}") or number) for name, number in DEFAULTS.items()}
    marker = node.get_closest_marker("ostraka")
    if marker is not None:
        unknown = [*map(repr, marker.args), *(name for name in marker.kwargs if name not in DEFAULTS)]
        if unknown:
            raise pytest.UsageError(f"@pytest.mark.ostraka takes {', '.join(DEFAULTS)}, not {', '.join(unknown)}")
        options |= marker.kwargs
    seed = node.config.getoption("--ostraka-seed")
    return options if seed is None else options | {"seed": seed}


def check_options(config: pytest.Config) -> None:
    """Refuse numbers of seeds that cannot be, before anything is collected.

    Raises:
        pytest.UsageError: saying what may be written.

    """
    count = config.getoption("--ostraka-seeds")
    if count is None:
        return
    if config.getoption("--ostraka-seed") is not None:
        raise pytest.UsageError("--ostraka-seed runs one seed and --ostraka-seeds many: give one of the two")
    if not 1 <= count <= MAX_SEEDS:
        raise pytest.UsageError(f"--ostraka-seeds takes 1 to {MAX_SEEDS}, not {count}")


def parametrise(metafunc: pytest.Metafunc) -> None:
    """Make one item of each seed of a test that is marked with `seeds`.

    Raises:
        pytest.UsageError: the marker says no number, or the test has no net.

    """
    marker = metafunc.definition.get_closest_marker("seeds")
    if marker is None:
        return
    name = metafunc.definition.nodeid
    count = marker.args[0] if len(marker.args) == 1 and not marker.kwargs else None
    if type(count) is not int or not 1 <= count <= MAX_SEEDS:
        raise pytest.UsageError(
            f"{name}: @pytest.mark.seeds takes how many, like @pytest.mark.seeds(20), from 1 to {MAX_SEEDS}"
        )
    if FIXTURE not in metafunc.fixturenames:
        raise pytest.UsageError(
            f"{name}: @pytest.mark.seeds is for tests that use `net`, or a fixture that does: nothing else has a seed"
        )
    only = metafunc.config.getoption("--ostraka-seed")
    count = metafunc.config.getoption("--ostraka-seeds") or count
    first = options_of(metafunc.definition)["seed"]
    seeds = range(first, first + (count if only is None else 1))
    metafunc.parametrize(FIXTURE, seeds, ids=[f"seed-{seed}" for seed in seeds], indirect=True)
