"""V2 and R1: what may never be more than it was made for."""

import pytest

from shards.validator.status import Held
from testnet.simulator.books import Books
from testnet.simulator.findings import Findings
from testnet.simulator.hoards import Hoard, excess
from testnet.simulator.population import make_context
from testnet.simulator.scheme import CheapScheme
from testnet.simulator.settings import SimulationSettings

AT_THE_BOUND = Held(
    views=64 + 1 + 5 + 2, blocks=5 + 2 + 16, heights=129, bundles=32, transactions=20_000, transaction_bytes=1 << 24
)


@pytest.mark.parametrize("name", Held._fields)
def test_a_validator_that_holds_more_than_its_bound_of_anything_is_found(name: str) -> None:
    assert not excess(Hoard(AT_THE_BOUND, open_views=5), shards=3, retention_views=64)
    more = AT_THE_BOUND._replace(**{name: getattr(AT_THE_BOUND, name) + 1})
    assert name.replace("_", " ") in excess(Hoard(more, open_views=5), shards=3, retention_views=64)


def test_a_shard_sends_out_no_more_than_it_had_and_received() -> None:
    books = Books(make_context(SimulationSettings(1), CheapScheme()), Findings())
    genesis = books.shards[0].genesis
    books.streams[0, 1].value_sent = genesis - 7
    books.streams[0, 2].value_sent = 7
    assert not books.outflow()
    books.streams[0, 2].value_sent += 3
    assert books.outflow() == f"shard 0 sent {genesis + 3} of {genesis} and 0 that it received"
    books.streams[2, 0].value_received = 3
    assert not books.outflow()
