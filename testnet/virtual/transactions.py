"""A transaction that a test sent: what became of it, its call tree, and what the test expects of it."""

from typing import TYPE_CHECKING, Self

from contracts.values import Value, read
from primitives.identifiers import TransactionId
from shards.trace_parts import trace_part
from shards.traces import Trace, assemble_trace, render_trace
from shards.transactions import SignedTransaction
from testnet.virtual.durations import Duration
from testnet.virtual.errors import Misuse, NotSettled, TransactionFailed, Unexpected
from testnet.virtual.history import OK, CallStory, Found, Story

if TYPE_CHECKING:
    from testnet.virtual.net import Net

SETTLE_LIMIT = "15m"
"""Virtual time that settling may take: more than a call without gas waits for some; idle minutes pass in no time."""


class Tx:
    """A signed transaction on its way through the network."""

    def __init__(self, net: "Net", signed: SignedTransaction) -> None:
        self._net = net
        self._era = net.era
        self.signed = signed
        self.given_up = False
        """Refused by the validator that was asked; nobody holds it then, so that it is not handed in again."""

    @property
    def id(self) -> TransactionId:
        """Name of the transaction, and of its trace."""
        return self.signed.id

    @property
    def shard(self) -> int:
        """Shard that it was sent to."""
        return self.signed.body.shard

    # What became of it

    def settle(self, limit: Duration = SETTLE_LIMIT) -> Self:
        """Let virtual time pass until it has ended and all calls it led to are answered.

        Raises:
            NotSettled: `limit` of virtual time did not suffice; the text shows the call tree and what is waited for.

        """
        __tracebackhide__ = True
        self._check_era()
        if not self._net.advance(limit, lambda: self.settled or self.lapsed):
            waits = ", ".join(f"{call.name} on shard {call.shard}" for call in self.story().waits_for)
            raise NotSettled(self._net.explain(f"not settled after {limit} of virtual time: {waits} under way", [self]))
        if self.lapsed:
            raise NotSettled(self._net.explain("it was in no block while it was valid, and never will be", [self]))
        return self

    @property
    def settled(self) -> bool:
        """Whether it has ended and all calls it led to are answered."""
        return self.story().settled

    @property
    def final(self) -> bool:
        """Whether it is in a final block: from then on it is never lost."""
        self._check_era()
        return self._net.history.is_final(self.signed.body.shard, self.id)

    @property
    def lapsed(self) -> bool:
        """Whether its validity is over without it being in a block."""
        return self._net.block_time_ms(self.shard) > self.signed.body.valid_until_ms and not self.final

    @property
    def under_way(self) -> bool:
        """Whether it may still be executed: a final block is, by its validators, a moment after it is final."""
        body = self.signed.body
        booked = self._net.world.judge.books.shards[body.shard].nonces.get(body.sender, 0)
        return booked <= body.nonce and not self.lapsed

    @property
    def outcome(self) -> str:
        """`ok`, `failed`, `starved`, or `pending`; of a call sent to another shard also `expired`, `refused`."""
        return self.story().main.outcome

    def result(self) -> Value:
        """What the called method returned; settles first.

        Raises:
            TransactionFailed: it failed; the text has the call tree and the traceback over all hops.

        """
        __tracebackhide__ = True
        self.settle()
        call = self.story().main
        if call.outcome != OK:
            what = f"{call.error}: {call.message}" if call.message else call.error or call.outcome
            text = self._net.explain(f"{call.name}: {what}", [self])
            raise TransactionFailed(text, call.kind or call.outcome, call.error, call.message)
        return read(call.result) if call.result else None

    @property
    def error(self) -> str:
        """Type of the exception that the called method raised, or what else stopped it; empty when nothing did."""
        return self.story().main.error

    @property
    def gas(self) -> int:
        """Gas used so far, over all hops."""
        return self.trace.gas

    @property
    def events(self) -> list[tuple[str, str, Value]]:
        """(contract, event, data) of what `emit` recorded in the whole tree."""
        return [
            (call.name.partition(".")[0], each.name, read(each.data)) for call in self.story() for each in call.events
        ]

    @property
    def log(self) -> list[str]:
        """What contracts printed, in order of time over all hops."""
        return [line for found in self._found() for line in self._net.history.log_of(found)]

    @property
    def trace(self) -> Trace:
        """The call tree over all shards, as `ostraka trace` has it."""
        return assemble_trace(trace_part(reader, self.id) for reader in self._net.readers())

    def tree(self) -> str:
        """The call tree as text."""
        return render_trace(self.trace, self._net.names())

    __str__ = tree

    def story(self) -> Story:
        """All its calls, read anew."""
        self._check_era()
        body = self.signed.body
        return Story(body.shard, body.operations, self._found())

    def _found(self) -> list[Found]:
        return self._net.history.of(self.id)

    def _check_era(self) -> None:
        if self._era not in self._net.eras:
            raise Misuse("this transaction was sent after the snapshot that was restored: it never happened")

    # What the test expects

    def expect(
        self,
        hop: str | None = None,
        outcome: str | None = None,
        error: str | None = None,
        *,
        shard: int | None = None,
        times: int | None = None,
    ) -> Self:
        """Check one hop: some call `contract.method` had this outcome and error, or, with `times`, so many had.

        Without `hop` it is the transaction itself that is meant. `error` is an exception's type or part of its text.
        """
        __tracebackhide__ = True
        story = self.story()
        named = [story.main] if hop is None else [call for call in story if call.name == hop]
        fitting = [call for call in named if _fits(call, outcome, error, shard)]
        if len(fitting) == times or (times is None and fitting):
            return self
        wanted = _wanted(outcome, error, shard, times)
        problem = f"expected {hop or named[0].name}{wanted}, but "
        if not named:
            problem += f"it was never called; called were {', '.join(dict.fromkeys(call.name for call in story))}"
        else:
            problem += "; ".join(_described(call) for call in named)
        if not story.settled:
            problem += "\n(not everything is settled: .settle() first, if that was meant)"
        raise Unexpected(self._net.explain(problem, [self]))


def _fits(call: CallStory, outcome: str | None, error: str | None, shard: int | None) -> bool:
    text = f"{call.error}: {call.message}"
    return outcome in (None, call.outcome) and (error is None or error in text) and shard in (None, call.shard)


def _wanted(outcome: str | None, error: str | None, shard: int | None, times: int | None) -> str:
    parts = [
        f"on shard {shard}" if shard is not None else "",
        f"to end {outcome}" if outcome else "to be called",
        f"with {error}" if error else "",
        f"{times} times" if times is not None else "",
    ]
    return "".join(f" {part}" for part in parts if part)


def _described(call: CallStory) -> str:
    what = (
        f" ({call.error}{': ' if call.error and call.message else ''}{call.message})"
        if call.message or call.error
        else ""
    )
    return f"on shard {call.shard} it is {call.outcome}{what}"
