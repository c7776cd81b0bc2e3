"""Committees for the scenarios, and liars in them."""

from collections.abc import Callable

import pytest

from consensus.messages import (
    Finalize,
    Message,
    Notarize,
    Nullify,
    Vote,
    decode_message,
)
from consensus.pacing import Rules
from primitives.codec import encode
from primitives.identifiers import Signature
from tests.consensus.harness import Cluster, Link
from tests.consensus.makers import make_vote

JUNK = Signature(bytes(range(64)))

SIZES = pytest.mark.parametrize("n", [4, 7])


def running(n: int = 4, *, seed: int = 0, link: Link | None = None, rules: Rules | None = None) -> Cluster:
    """A committee that has begun."""
    cluster = Cluster(n, seed=seed, link=link or Link(), rules=rules or Rules())
    cluster.start()
    return cluster


def liars_of(n: int) -> list[int]:
    """As many as may lie."""
    return list(range(1, 1 + (n - 1) // 3))


def lying(cluster: Cluster, *liars: int, says: Callable[[int, Message], list[Message]]) -> None:
    """Let these say something else: `says(liar, message)` is sent instead of each message."""

    def rewrite(source: int, to: int, raw: bytes) -> None:
        for message in says(source, decode_message(raw)):
            cluster.inject(source, to, encode(message))

    cluster.faulty |= set(liars)
    cluster.outgoing.update(dict.fromkeys(liars, rewrite))


def honest(cluster: Cluster) -> list[int]:
    return [index for index in range(cluster.committee.size) if index not in cluster.faulty]


def signed(cluster: Cluster, statement: Notarize | Nullify | Finalize, signer: int) -> Vote:
    return make_vote(cluster.committee, statement, signer)
