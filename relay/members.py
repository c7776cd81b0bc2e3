"""The validators of one shard as a courier sees them: whom to watch, whom to ask, whom to leave alone for a while.

Nothing here is trusted; it only decides who is asked next. f + 1 validators are watched, so at least one of them is
honest. Whoever fails rests, longer each time up to a few seconds; whoever is caught lying rests much longer; everyone
comes back.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from primitives.errors import invariant
from primitives.identifiers import Height, ShardId, ValidatorIndex
from relay.effects import Effect, Unwatch, Watch

FIRST_REST_MS = 250
"""After the first failure: about a block, so that a restart of one process costs no more than that."""

LONGEST_REST_MS = 4_000
"""A halted shard or dead validator costs one attempt in this time, and is found again within it."""

LIAR_REST_MS = 60_000
"""After proven lies. Not for ever: the operator may have mended it, and one more lie costs one verification."""

FORGIVE_MS = 60_000
"""Failures older than this no longer make a validator the last choice."""

SILENCE_MS = 15_000
"""A watched validator that certified nothing new for this long is replaced; idle shards certify every 10 s."""

MAX_STRIKES = 16
"""Strikes only order validators; beyond this there is nothing to distinguish."""

MAX_REASON_LENGTH = 200
"""Reasons come from validators and are shown to people: a line, not a page."""


def rest_after(failures: int) -> int:
    """Milliseconds to wait after so many failures in a row (at least 1)."""
    return min(FIRST_REST_MS << min(failures - 1, MAX_STRIKES), LONGEST_REST_MS)


GENESIS = Height(0)


@dataclass(slots=True)
class Member:
    """One validator. `height` is the newest certified height it is known to have."""

    index: ValidatorIndex
    watched: bool = False
    heard: bool = False
    """It has reported something in the current subscription."""
    height: Height = GENESIS
    advanced_ms: int = 0
    losses: int = 0
    """Subscriptions lost since it last reported a new height."""
    watch_at_ms: int = 0
    strikes: int = 0
    struck_ms: int = 0
    rest_until_ms: int = 0
    problem: str = ""
    """The last thing that went wrong, for people."""


class ShardMembers:
    """The validators of one shard that a courier can reach; `size` counts the whole committee."""

    def __init__(self, shard: ShardId, indices: Sequence[ValidatorIndex], size: int) -> None:
        self.shard = shard
        self.members = {index: Member(index) for index in sorted(set(indices))}
        invariant(all(0 <= index < size for index in self.members), f"shard {shard} has validators 0 to {size - 1}")
        self.watch_count = min((size - 1) // 3 + 1, len(self.members))
        self.silent_since_ms: int | None = 0
        """When the last watched validator that answered was lost; None while one answers."""

    def start(self, now: int) -> list[Effect]:
        """Watch the first validators."""
        self.silent_since_ms = now
        return self.refill(now)

    @property
    def answering(self) -> bool:
        """Whether a watched validator has reported something in its current subscription."""
        return self.silent_since_ms is None

    def watched(self, validator: ValidatorIndex) -> Member | None:
        """The member if it is being watched."""
        member = self.members.get(validator)
        return member if member is not None and member.watched else None

    def refill(self, now: int) -> list[Effect]:
        """Replace watched validators that went silent and fill free places with those that failed least."""
        effects: list[Effect] = []
        for member in self.members.values():
            if member.watched and now - member.advanced_ms >= SILENCE_MS:
                effects.append(Unwatch(self.shard, member.index))
                self._lose(member, "certified nothing new for too long", now)
        free = self.watch_count - sum(member.watched for member in self.members.values())
        ready = [member for member in self.members.values() if not member.watched and member.watch_at_ms <= now]
        for member in sorted(ready, key=lambda each: (each.losses, each.index))[: max(free, 0)]:
            member.watched, member.heard, member.advanced_ms = True, False, now
            effects.append(Watch(self.shard, member.index))
        return effects

    def due_ms(self) -> int | None:
        """When `refill` may have something to do; None without validators."""
        free = self.watch_count - sum(member.watched for member in self.members.values())
        times = [member.advanced_ms + SILENCE_MS for member in self.members.values() if member.watched]
        if free > 0:
            times += [member.watch_at_ms for member in self.members.values() if not member.watched]
        return min(times, default=None)

    def saw(self, member: Member, height: Height, now: int) -> bool:
        """Note what a watched validator reported; true when the shard, or this validator, is back."""
        came_back = not member.heard
        member.heard = True
        self.silent_since_ms = None
        if came_back:
            member.rest_until_ms = min(member.rest_until_ms, now)
        if height > member.height:
            member.height, member.advanced_ms, member.losses = height, now, 0
        return came_back

    def lost(self, validator: ValidatorIndex, reason: str, now: int) -> None:
        """A subscription ended."""
        member = self.watched(validator)
        if member is not None:
            self._lose(member, reason, now)

    def strike(self, validator: ValidatorIndex, reason: str, now: int) -> None:
        """A request failed: let the validator rest, longer each time."""
        member = self.members[validator]
        self._count(member, reason, now)
        member.rest_until_ms = max(member.rest_until_ms, now + rest_after(member.strikes))

    def doubt(self, validator: ValidatorIndex, reason: str, now: int) -> None:
        """What it accepted led to nothing: ask others first."""
        self._count(self.members[validator], reason, now)

    def condemn(self, validator: ValidatorIndex, reason: str, now: int) -> list[Effect]:
        """It sent what no honest validator sends: a long rest, and no more news from it."""
        member = self.members[validator]
        self._count(member, reason, now)
        member.rest_until_ms = now + LIAR_REST_MS
        effects: list[Effect] = [Unwatch(self.shard, validator)] if member.watched else []
        if member.watched:
            self._lose(member, reason, now)
        member.watch_at_ms = now + LIAR_REST_MS
        return effects

    def choose(self, now: int, avoid: Container[ValidatorIndex], height: Height, spread: int) -> ValidatorIndex | None:
        """Whom to ask: not resting, not in `avoid`; fewest strikes, then has `height`, then next from `spread` on."""

        def preference(member: Member) -> tuple[int, bool, int]:
            strikes = member.strikes if now - member.struck_ms < FORGIVE_MS else 0
            return strikes, member.height < height, (member.index - spread) % count

        count = max(self.members, default=0) + 1
        fit = [each for each in self.members.values() if each.rest_until_ms <= now and each.index not in avoid]
        return min(fit, key=preference).index if fit else None

    def problems(self) -> str:
        """What last went wrong with each validator that has a problem, on one line."""
        return "; ".join(f"v{each.index}: {each.problem}" for each in self.members.values() if each.problem)

    def _lose(self, member: Member, reason: str, now: int) -> None:
        member.watched = member.heard = False
        member.losses = min(member.losses + 1, MAX_STRIKES)
        member.watch_at_ms = now + rest_after(member.losses)
        member.problem = reason[:MAX_REASON_LENGTH]
        if self.silent_since_ms is None and not any(each.heard for each in self.members.values()):
            self.silent_since_ms = now

    def _count(self, member: Member, reason: str, now: int) -> None:
        if now - member.struck_ms >= FORGIVE_MS:
            member.strikes = 0
        member.strikes = min(member.strikes + 1, MAX_STRIKES)
        member.struck_ms = now
        member.problem = reason[:MAX_REASON_LENGTH]
