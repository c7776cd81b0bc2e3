"""What the flow rules know at one point of a method: which reads are old by now, and what is not committed yet."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

Key = str
"""A storage key as the source spells it, names replaced by what they stand for."""

MAX_SYMBOL = 400
"""Characters; what is spelled longer is not compared any more."""


@dataclass(frozen=True)
class Read:
    """One `get(...)`."""

    key: Key
    line: int
    locked: bool
    """A lock was held."""
    stale_since: int = 0
    """Line of the await that lies behind it; 0: none does."""


@dataclass(frozen=True)
class Value:
    """What is known of a value: the reads that it was made from, and what stands for it in keys."""

    reads: frozenset[Read] = frozenset()
    symbol: str = ""


NOTHING = Value()


@dataclass(frozen=True)
class Effect:
    """Something a stretch does, by its place."""

    line: int
    column: int
    verb: str


@dataclass
class State:
    """A point of a method, seen as all paths that lead there."""

    names: dict[str, Value] = field(default_factory=dict)
    last: dict[Key, frozenset[Read]] = field(default_factory=dict)
    """How a key was read last, on each path; a path on which it was written after that has no part in this."""
    deleted: set[Key] = field(default_factory=set)
    """Keys whose value the method has removed, and so taken: nobody else counts on them."""
    pending: set[Effect] = field(default_factory=set)
    """Effects of the stretch under way."""
    locks: int = 0
    awaits: int = 0
    """How many there were, at most."""

    def copy(self) -> "State":
        """The same point, to go on from in another way."""
        return replace(
            self, names=dict(self.names), last=dict(self.last), deleted=set(self.deleted), pending=set(self.pending)
        )

    def become(self, other: "State") -> None:
        """Go on as another state."""
        self.__dict__.update(other.__dict__)

    def write(self, key: Key, *, deletes: bool) -> None:
        """A value is written now: whoever comes next sees it."""
        self.last[key] = frozenset()
        if deletes:
            self.deleted.add(key)
        else:
            self.deleted.discard(key)

    def suspend(self, line: int) -> None:
        """Other calls may run now, except where this one holds a lock."""
        self.names = {name: self.aged(value, line) for name, value in self.names.items()}
        self.last = {key: self._aged(reads, line) for key, reads in self.last.items()}
        self.pending = set()
        self.awaits += 1

    def aged(self, value: Value, line: int) -> Value:
        """A value that an await has passed over."""
        return Value(self._aged(value.reads, line), value.symbol)

    def _aged(self, reads: frozenset[Read], line: int) -> frozenset[Read]:
        return frozenset(
            read if read.stale_since or (self.locks and read.locked) else replace(read, stale_since=line)
            for read in reads
        )


def join(states: Iterable[State | None]) -> State | None:
    """Where paths meet again; None when none of them goes on."""
    going = [state for state in states if state is not None]
    if not going:
        return None
    joined = going[0].copy()
    for state in going[1:]:
        for name, value in state.names.items():
            mine = joined.names.get(name, value)
            either = mine.symbol if mine.symbol == value.symbol else f"({mine.symbol}|{value.symbol})"
            joined.names[name] = Value(mine.reads | value.reads, either if len(either) <= MAX_SYMBOL else "")
        for key, reads in state.last.items():
            joined.last[key] = joined.last.get(key, frozenset()) | reads
        joined.deleted |= state.deleted
        joined.pending |= state.pending
        joined.awaits = max(joined.awaits, state.awaits)
    return joined
