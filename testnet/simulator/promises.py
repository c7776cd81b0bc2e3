"""What the contracts of the workload promise, checked from outside by their events and their storage.

- The token: what all shards hold and what is on its way is what was minted, after every block; whoever lists its
  keys sees all holders.
- The shop: an item is sold once at most and charged exactly when it is sold.
- The counter: it misses no step and repeats none; a call ends in the version of the code that it began in; what is
  under a lock is under one lock at a time until its lease runs out; what fails has not happened.
- Errands: nobody spends more than there is; nothing arrives after its deadline; a caller that says how long it waits
  is told in time; value that was refused before anything was committed comes back whole, and afterwards not at all.
"""

from collections import Counter
from typing import Any, cast

import msgpack

from contracts.values import decode
from shards.outcome import Execution
from testnet.simulator.faults import Name
from testnet.simulator.findings import Findings

_RUN = 6
_STORAGE = 9
_HOLDINGS = b"held/"


class Promises:
    """Watches every block once, in the order in which blocks are booked."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._minted = 0
        self._flying = 0
        """Tokens that were sent and neither received nor put back."""
        self._held: dict[tuple[int, bytes], int] = {}
        """Of each holder, as the state has it."""
        self._tally: Counter[int] = Counter()
        """Of each shard, as events have it."""
        self._marked: set[int] = set()
        """Shards whose token has its mark set."""
        self._sold: Counter[tuple[int, str]] = Counter()
        self._charged: Counter[tuple[int, str]] = Counter()
        self._counts: dict[int, int] = {}
        self._began: dict[bytes, int] = {}
        self._locks: dict[tuple[int, str], tuple[bytes, int]] = {}
        """(shard, key) -> who holds it, and until when."""
        self._place: tuple[Name, int] = ("", 0)
        self.counts: Counter[str] = Counter()
        """Of events, by name: what did happen."""

    def watch(self, node: Name, shard: int, height: int, execution: Execution) -> None:
        """Look at what one block did."""
        self._place = (node, height)
        time_ms = execution.commitment.time_ms
        for raw in execution.receipts:
            receipt = msgpack.unpackb(raw)
            if receipt[0] == _RUN:
                for name, data in receipt[21]:
                    self.counts[name] += 1
                    fields = cast("dict[str, Any]", decode(data))
                    self._hear(name, fields, shard, receipt[1], time_ms)
                    if name == "Patience":
                        self._patience(execution, time_ms + 1000 * fields["seconds"], receipt[22])
        self._holdings(shard, execution)

    def verdict(self) -> None:
        """At the end nothing is half done: no item is charged and not sold."""
        self._check(self._sold == self._charged, "an item is sold and not charged, or charged and not sold")

    def _check(self, condition: bool, detail: str) -> None:  # noqa: FBT001 - reads like assert
        self._findings.check(condition, "C1", *self._place, detail)

    def _hear(self, name: str, data: dict[str, Any], shard: int, call_id: bytes, time_ms: int) -> None:
        match name:
            case "Minted":
                self._minted += data["amount"]
                self._tally[shard] += data["amount"]
            case "Sent":
                self._flying += data["amount"]
                self._tally[shard] -= data["amount"]
            case "Received" | "Undone":
                self._flying -= data["amount"]
                self._tally[shard] += data["amount"]
            case "Audited":
                right = (self._tally[shard], shard in self._marked, 1)
                found = (data["total"], data["marked"], data["own"])
                self._check(found == right, f"an audit finds {found} where {right} is: tokens, the mark, its own key")
            case "Marked":
                self._marked ^= {shard}
                self._check(data["there"] == (shard in self._marked), "a mark is not as it was left")
            case "Sold":
                item = (shard, data["item"])
                self._sold[item] += 1
                self._check(self._sold[item] == 1, f"item {item} is sold twice")
                self._check(self._charged[item] == 1, f"item {item} is sold and not charged")
            case "Charged":
                item = (int(data["by"].removeprefix("shop@")), data["item"])
                self._charged[item] += 1
                self._check(self._charged[item] == 1, f"item {item} is charged twice")
            case "Bumped":
                before = self._counts.get(shard, 0)
                self._check(data["count"] == before + 1, f"the counter goes from {before} to {data['count']}")
                self._counts[shard] = data["count"]
            case _:
                self._hear_call(name, data, shard, call_id, time_ms)

    def _hear_call(self, name: str, data: dict[str, Any], shard: int, call_id: bytes, time_ms: int) -> None:
        match name:
            case "Began":
                self._began[call_id] = data["version"]
            case "Ended":
                self._check(data["version"] == self._began.get(call_id), "a call ends in other code than it began in")
            case "Stumbled":
                self._check(condition=False, detail="what a call did before it failed has happened")
            case "Broke" | "Overspent":
                self._check(data.get("left") == 0, "a contract spent more than it had")
            case "Entered" | "Left":
                self._lock(name, data, shard, call_id, time_ms)
            case "Arrived":
                self._check(data["now"] == time_ms <= data["due"], "a call arrives after its deadline")
            case "CameBack":
                kept = data["mode"] > 1 and data["kind"] == "failed"
                whole = 0 if kept else data["sent"]
                self._check(data["returned"] == whole, f"{data['returned']} came back of a call, not {whole}")
            case "Wrong":
                self._check(data["kind"] == "refused", f"a call that reaches nobody is {data['kind']}")
                self._check(data["returned"] == data["sent"], "a call that reached nobody kept its value")
            case _:
                pass

    def _lock(self, name: str, data: dict[str, Any], shard: int, call_id: bytes, time_ms: int) -> None:
        place = (shard, data["key"])
        holder, until_ms = self._locks.get(place, (b"", 0))
        if name == "Entered":
            self._check(holder == b"" or until_ms <= time_ms, "two calls are under one lock")
            self._locks[place] = (call_id, time_ms + 1000 * data["lease"])
        elif holder == call_id:
            self._check(time_ms < until_ms, "a call goes on under a lock whose lease ran out")
            del self._locks[place]

    def _patience(self, execution: Execution, until_ms: int, made: list[list[Any]]) -> None:
        """Whoever says how long it waits has a timer that rings then."""
        key = b"\x0c\0\0" + until_ms.to_bytes(8, "big") + b"\x01" + (made[0][1] if made else b"")
        self._check(execution.changes.get(key) is not None, "a caller is patient for another time than it said")

    def _holdings(self, shard: int, execution: Execution) -> None:
        prefix = bytes((_STORAGE, 0, 5)) + b"token" + _HOLDINGS
        for key, value in execution.changes.items():
            if key.startswith(prefix):
                self._held[shard, key] = 0 if value is None else cast("int", decode(value))
        held = sum(self._held.values())
        self._check(
            held + self._flying == self._minted, f"{held} tokens held and {self._flying} on their way of {self._minted}"
        )
