"""The aggregator under ordinary Python."""

import itertools
from pathlib import Path

import pytest

from ostraka_contract.testing import Contract, Shards

FOLDER = Path(__file__).parent


def asked(shards: Shards, numbers: dict[int, int], ask: list[int]) -> Contract:
    for shard, number in numbers.items():
        shards.deploy(FOLDER / "oracle.py", shard=shard, args=(number,))
    return shards.deploy(FOLDER / "aggregator.py", args=(ask,))


def test_it_takes_the_median_of_all_shards() -> None:
    shards = Shards()
    aggregator = asked(shards, {1: 10, 2: 500, 3: 11}, [1, 2, 3])
    assert aggregator.view("latest") == {"median": 0, "asked_at": 0}
    update = aggregator.send("update")
    shards.settle()
    assert update.result() == 11
    assert aggregator.view("latest")["median"] == 11


@pytest.mark.parametrize("halted", list(itertools.combinations(range(1, 6), 2)))
def test_any_two_of_five_shards_may_be_halted(halted: tuple[int, int]) -> None:
    shards = Shards()
    aggregator = asked(shards, dict.fromkeys(range(1, 6), 7), [1, 2, 3, 4, 5])
    shards.halted.update(halted)
    update = aggregator.send("update")
    shards.settle()
    assert not update.done
    shards.wait(9)  # and the deliveries before and after it have taken more than one second
    shards.halted.clear()
    shards.settle()
    assert update.result() == 7
    assert shards.events[-1][2]["missing"] == dict.fromkeys(halted, "expired")


def test_half_of_the_answers_are_too_few() -> None:
    shards = Shards()
    aggregator = asked(shards, {1: 7, 2: 7}, [1, 2, 3, 4])
    update = aggregator.send("update")
    shards.settle()
    with pytest.raises(Exception, match=r"2 of 4; missing: {3: 'refused', 4: 'refused'}"):
        update.result()


def test_an_oracle_that_answers_nonsense_counts_as_missing(tmp_path: Path) -> None:
    shards = Shards()
    (tmp_path / "oracle.py").write_text("def read():\n    return 'seven'\n")
    aggregator = asked(shards, {1: 7, 2: 8}, [1, 2, 3])
    shards.deploy(tmp_path / "oracle.py", shard=3)
    update = aggregator.send("update")
    shards.settle()
    assert update.result() == 7
    assert shards.events[-1][2]["missing"] == {3: "answered str"}


def test_only_the_reporter_reports() -> None:
    oracle = Shards().deploy(FOLDER / "oracle.py", args=(1,))
    with pytest.raises(PermissionError):
        oracle.send("report", 2, sender="mallory").result()
    oracle.send("report", 2).result()
    assert oracle.view("read") == 2
