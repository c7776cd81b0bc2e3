"""The faults that are on in one node: put up, taken down, and over by themselves.

Whoever is disturbed by faults of a kind is told when they change, and only holds what concerns him; with nothing on
the board he holds nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from primitives.errors import Refused
from shards.node.injection.faults import Active, Fault, Order

MAX_ORDERS = 256
"""On one node at a time; a person or a scenario has a handful."""

F = TypeVar("F", bound=Fault)


@dataclass(frozen=True)
class _Posted:
    """An order that is on, and when it ends by the loop's clock."""

    order: Order
    ends_at: float | None


class FaultBoard:
    """All faults of one node. Lives on the event loop; `check` refuses what this node cannot do."""

    def __init__(self, check: Callable[[Fault], None], on_change: Callable[["FaultBoard"], None]) -> None:
        self._check = check
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._posted: dict[str, _Posted] = {}

    def put(self, order: Order) -> None:
        """Begin what an order says; one of the same name is replaced.

        Raises:
            Refused: `too_many`, or why this node cannot do it.

        """
        if order.name not in self._posted and len(self._posted) >= MAX_ORDERS:
            raise Refused("too_many", f"{MAX_ORDERS} faults are on here already; heal some first")
        for fault in order.faults:
            self._check(fault)
        ends_at = None
        if order.lasts_ms is not None:
            seconds = order.lasts_ms / 1000
            ends_at = self._loop.time() + seconds
            self._loop.call_later(seconds, self._expire, order)
        self._posted[order.name] = _Posted(order, ends_at)
        self._on_change(self)

    def heal(self, name: str | None) -> tuple[str, ...]:
        """End the order of a name, or all; returns the names of what ended."""
        ended = tuple(each for each in self._posted if name in {None, each})
        for each in ended:
            del self._posted[each]
        if ended:
            self._on_change(self)
        return ended

    def _expire(self, order: Order) -> None:
        posted = self._posted.get(order.name)
        if posted is not None and posted.order is order:
            self.heal(order.name)

    def of_kind(self, kind: type[F]) -> tuple[F, ...]:
        """Faults of one kind, in the order in which they began."""
        return tuple(fault for each in self._posted.values() for fault in each.order.faults if isinstance(fault, kind))

    def listing(self) -> tuple[Active, ...]:
        """Everything that is on."""
        now = self._loop.time()
        return tuple(
            Active(
                name=order.name,
                text=order.text,
                faults=order.faults,
                left_ms=None if ends_at is None else max(0, round(1000 * (ends_at - now))),
            )
            for order, ends_at in ((each.order, each.ends_at) for each in self._posted.values())
        )
