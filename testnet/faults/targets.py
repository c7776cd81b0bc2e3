"""What people break: validators, shards, relays, and the links between them, as they write them.

s0/v1            a validator (s0v1 too): its links to the others of its shard
s0               a shard: the links among all of its validators
r0               a relay (relay0 too): its links to every validator
s0/v1-s0/v2      the link of two validators; s0/v1>s0/v2 only what the first sends to the second
r0-s1, r0-s1/v2  a relay's links to a shard, or to one validator
s0-s2, 0-2       what relays carry between two shards; s0>s2 only from the first to the second
s0/v0+s0/v1      several validators of a shard: their links to the others of it (a partition)
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from primitives.errors import Refused

MAX_TEXT = 400
"""Characters: a partition of the largest committee has 200."""

HOW = "write a validator (s0/v1), a shard (s0), a relay (r0) or a link (s0/v1-s0/v2, r0-s1, s0-s2)"

_VALIDATOR = re.compile(r"s(\d{1,4})/?v(\d{1,4})")
_SHARD = re.compile(r"s?(\d{1,4})")
_RELAY = re.compile(r"r(?:elay)?(\d{1,4})")


@dataclass(frozen=True, slots=True, order=True)
class Validator:
    """One validator."""

    shard: int
    index: int

    def __str__(self) -> str:
        return f"s{self.shard}/v{self.index}"


@dataclass(frozen=True, slots=True)
class Shard:
    """All validators of a shard."""

    number: int

    def __str__(self) -> str:
        return f"s{self.number}"


@dataclass(frozen=True, slots=True)
class Relay:
    """One relay."""

    number: int

    def __str__(self) -> str:
        return f"r{self.number}"


@dataclass(frozen=True, slots=True)
class Group:
    """Some validators of one shard, as against the others."""

    members: tuple[Validator, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.members))


@dataclass(frozen=True, slots=True)
class Link:
    """What is between two ends."""

    one: "Validator | Shard | Relay"
    other: "Validator | Shard | Relay"
    one_way: bool

    def __str__(self) -> str:
        return f"{self.one}{'>' if self.one_way else '-'}{self.other}"


End = Validator | Shard | Relay
Target = Validator | Shard | Relay | Group | Link


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a testnet is."""

    shards: int
    validators: int
    relays: int

    def parse(self, text: str) -> Target:
        """Read a target.

        Raises:
            Refused: `bad_target`, saying what can be written; `unknown_node`, when there is no such thing here.

        """
        if len(text) > MAX_TEXT:
            raise Refused("bad_target", f"{text[:20]!r}… has {len(text)} characters; {HOW}")
        if "+" in text:
            return self._group(text)
        one, separator, other = text.replace(" ", "").partition(">" if ">" in text else "-")
        if not separator:
            return self._end(one)
        return self._link(self._end(one), self._end(other), one_way=separator == ">")

    def between(self, one: str, other: str, *, one_way: bool = False) -> Target:
        """Read the link of two ends that were said apart."""
        return self._link(self._end(one), self._end(other), one_way=one_way)

    def group(self, texts: list[str]) -> Group:
        """Read the members of a partition.

        Raises:
            Refused: as `parse`.

        """
        return self._group("+".join(texts))

    def nodes(self, text: str) -> tuple[End, ...]:
        """Read which processes are meant: a validator, a relay, a shard's validators, or `all`.

        Raises:
            Refused: as `parse`.

        """
        if text == "all":
            relays = tuple(Relay(number) for number in range(self.relays))
            return (*(each for shard in range(self.shards) for each in self.members(shard)), *relays)
        end = self._end(text)
        return self.members(end.number) if isinstance(end, Shard) else (end,)

    def validator(self, text: str) -> tuple[Validator, ...]:
        """Read a validator, or all of a shard.

        Raises:
            Refused: as `parse`; `no_such_fault` for a relay.

        """
        found = tuple(each for each in self.nodes(text) if isinstance(each, Validator))
        if not found:
            raise Refused(
                "no_such_fault", f"{text} is a relay, which has no disk and no clock to break; name a validator"
            )
        return found

    def members(self, shard: int) -> tuple[Validator, ...]:
        """Validators of a shard."""
        return tuple(Validator(shard, index) for index in range(self.validators))

    def _end(self, text: str) -> End:
        if found := _VALIDATOR.fullmatch(text):
            end: End = Validator(int(found[1]), int(found[2]))
            exists = int(found[1]) < self.shards and int(found[2]) < self.validators
        elif found := _RELAY.fullmatch(text):
            end, exists = Relay(int(found[1])), int(found[1]) < self.relays
        elif found := _SHARD.fullmatch(text):
            end, exists = Shard(int(found[1])), int(found[1]) < self.shards
        else:
            raise Refused("bad_target", f"{text[:40]!r} is nothing that can be broken; {HOW}")
        if not exists:
            here = f"{self.shards} shards of {self.validators} validators and {self.relays} relays, each counted from 0"
            what = "shard" if isinstance(end, Shard) else "node"
            raise Refused("unknown_node", f"there is no {what} {end}; this testnet has {here}")
        return end

    def _group(self, text: str) -> Group:
        members = []
        for part in text.replace(" ", "").split("+"):
            end = self._end(part)
            if not isinstance(end, Validator):
                raise Refused("bad_target", f"a partition names validators of one shard, {part[:40]} is none")
            members.append(end)
        shard = members[0].shard
        if any(each.shard != shard for each in members):
            raise Refused("bad_target", f"{text[:80]} names validators of several shards; a partition is within one")
        if len(set(members)) != len(members) or len(members) >= self.validators:
            raise Refused("bad_target", f"{text[:80]}: name some of the {self.validators} validators, each once")
        return Group(tuple(sorted(members)))

    def _link(self, one: End, other: End, *, one_way: bool) -> Link:
        if isinstance(other, Relay) and not isinstance(one, Relay):
            one, other = other, one
        match one, other:
            case Validator(), Validator() if one.shard == other.shard and one != other:
                return Link(one, other, one_way)
            case Shard(), Shard() if one != other:
                return Link(one, other, one_way)
            case Relay(), Validator() | Shard():
                if one_way:
                    raise Refused("bad_target", f"what {one} asks and hears goes together; write {one}-{other}")
                return Link(one, other, one_way=False)
            case _:
                pass
        raise Refused(
            "no_such_link",
            f"there is no link between {one} and {other}; links connect two validators of one shard (s0/v1-s0/v2),"
            " relays connect shards (s0-s2), and each relay every validator (r0-s1)",
        )


def pairs_of(target: Target, shape: Shape) -> tuple[tuple[Validator, Validator], ...]:
    """Directions between validators that a target means: (sender, receiver), in order."""
    return tuple(sorted(set(_pairs(target, shape))))


def _pairs(target: Target, shape: Shape) -> Iterator[tuple[Validator, Validator]]:
    match target:
        case Shard(number):
            yield from permutations(shape.members(number), 2)
        case Validator(shard):
            yield from _across((target,), shape.members(shard))
        case Group(members):
            yield from _across(members, shape.members(members[0].shard))
        case Link(Validator() as one, Validator() as other, one_way):
            yield one, other
            if not one_way:
                yield other, one
        case _:
            return  # nothing that validators say to one another


def _across(group: tuple[Validator, ...], everyone: tuple[Validator, ...]) -> Iterator[tuple[Validator, Validator]]:
    for one in group:
        for other in everyone:
            if other not in group:
                yield one, other
                yield other, one
