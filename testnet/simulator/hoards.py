"""R1: what a validator holds in memory because others sent it, and how much of it that may ever be.

The bounds are those of the design, not of the code: a peer, a relay or a client that sends without end must not change
them.
"""

from typing import NamedTuple

from shards.validator.status import Held

VIEWS_AHEAD = 2
"""Votes are taken for the current view and the one after it."""

WANTED_BLOCKS = 16
"""That may be asked for at one time beside those of open views."""

HEIGHTS = 2 * 64 + 1
"""Of commitments: 64 below and above what is executed."""

BUNDLES_PER_SOURCE = 16
TRANSACTIONS = 20_000
TRANSACTION_BYTES = 16 * 1024 * 1024


class Hoard(NamedTuple):
    """What one validator holds, and the views that it may have something of."""

    held: Held
    open_views: int
    """From the last finalized view to the current one."""


def excess(hoard: Hoard, shards: int, retention_views: int) -> str:
    """What is more than it may be, or nothing."""
    held = hoard.held
    limits = Held(
        views=retention_views + 1 + hoard.open_views + VIEWS_AHEAD,
        blocks=hoard.open_views + VIEWS_AHEAD + WANTED_BLOCKS,
        heights=HEIGHTS,
        bundles=BUNDLES_PER_SOURCE * (shards - 1),
        transactions=TRANSACTIONS,
        transaction_bytes=TRANSACTION_BYTES,
    )
    for name, amount, limit in zip(Held._fields, held, limits, strict=True):
        if amount > limit:
            return f"holds {amount} {name.replace('_', ' ')}, the bound is {limit}"
    return ""
