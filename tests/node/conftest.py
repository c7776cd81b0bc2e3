"""Fixtures of the node's tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.values import encode
from primitives.amounts import Amount, pack_amount
from shards.node.logs import Log
from shards.transactions import Deploy
from tests.node.fakes import a_log
from tests.node.support import Running, key_of, make_configs, make_context, running
from tests.node.till import SOURCE, act


@pytest_asyncio.fixture
async def lone(tmp_path: Path) -> AsyncIterator[Running]:
    """A validator that is its whole shard."""
    async with running(make_configs(tmp_path, make_context(validators=1))) as net:
        yield net


@pytest_asyncio.fixture
async def till(lone: Running) -> Running:
    """A validator that is its whole shard, with the contract of `tests.node.till`."""
    operation = Deploy(
        name="till",
        source=SOURCE,
        owner=key_of("alice"),
        arguments=encode(["alice"]),
        amount=pack_amount(Amount(77)),
        gas=500_000,
    )
    await act(lone, 0, operation)
    return lone


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """A validator's log."""
    with a_log(tmp_path) as log:
        yield log
