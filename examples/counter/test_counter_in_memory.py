"""The counter under ordinary Python: no network, and a debugger stops where you tell it to."""

from pathlib import Path

import pytest

from ostraka_contract.testing import Shards

COUNTER = Path(__file__).parent / "counter.py"


def test_it_counts_and_remembers_who_counted() -> None:
    shards = Shards()
    counter = shards.deploy(COUNTER, args=(10,))
    counter.send("increment", sender="alice").result()
    assert counter.send("increment", 5, sender="bob").result() == 16
    assert counter.view("movers") == ["alice", "bob"]
    counter.send("increment", 2, sender="alice").result()
    assert [counter.view("moved_by", who) for who in ("alice", "bob", "carol")] == [3, 5, 0]
    assert shards.events[-1] == ("counter@0", "Incremented", {"by": 2, "count": 18})


@pytest.mark.parametrize("by", [0, -1])
def test_it_never_goes_back(by: int) -> None:
    counter = Shards().deploy(COUNTER)
    with pytest.raises(ValueError, match="moves forward"):
        counter.send("increment", by).result()
    assert counter.view("count") == 0
