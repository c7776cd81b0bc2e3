"""Views: methods that only read, run at once on a ledger's present state."""

from typing import TYPE_CHECKING

from contracts.limits import MAX_CALL_GAS
from contracts.outcomes import Completed, Failed, Invocation, Outcome
from contracts.values import Value, encode, read
from primitives.amounts import unpack_amount
from primitives.identifiers import CallId, Hash, TransactionId
from shards.calls.records import code_key, contract_key, decode_code, decode_contract, storage_key
from shards.ledger import Ledger
from shards.state import ZERO_AMOUNT
from testnet.simulator.machine import shared_machine
from testnet.virtual.errors import TransactionFailed

if TYPE_CHECKING:
    from testnet.virtual.contracts import Contract

NOBODY = "osk1view"
"""`msg.sender` of a view that nobody in particular asks for."""


class _Present:
    """A ledger as a `contracts.port.World`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def source(self, code_hash: Hash) -> str:
        """See `World`."""
        return decode_code(self._ledger.get(code_key(code_hash)) or b"").source

    def read(self, contract: str, key: bytes) -> bytes | None:
        """See `World`."""
        return self._ledger.get(storage_key(contract, key))

    def keys(self, contract: str, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """See `World`. A test's state is small enough to be looked through."""
        whole = storage_key(contract, b"")
        found = (key[len(whole) :] for key, _ in self._ledger.entries() if key.startswith(whole + prefix))
        return sorted(key for key in found if key > after)[:limit]

    def balance(self, contract: str) -> int:
        """See `World`."""
        raw = self._ledger.get(contract_key(contract))
        return 0 if raw is None else unpack_amount(decode_contract(raw).balance)


def run_view(ledger: Ledger, contract: "Contract", method: str, arguments: list[object]) -> Value:
    """Value of a view.

    Raises:
        TransactionFailed: it raised.

    """
    record = decode_contract(ledger.get(contract_key(contract.name)) or b"")
    invocation = Invocation(
        code_hash=record.code_hash,
        contract=contract.name,
        shard=ledger.commitment.shard,
        method=method,
        arguments=encode(arguments),
        sender=NOBODY,
        value=ZERO_AMOUNT,
        trace_id=TransactionId(bytes(32)),
        call_id=CallId(bytes(32)),
        height=ledger.height,
        time_ms=ledger.time_ms,
        gas=MAX_CALL_GAS,
        journal=(),
        replies=(),
    )
    outcomes: list[Outcome] = []
    shared_machine().run([invocation], _Present(ledger), lambda _index, outcome: outcomes.append(outcome))
    outcome = outcomes[0]
    if isinstance(outcome, Completed):
        return read(outcome.result)
    if isinstance(outcome, Failed):
        what = f"{outcome.error}: {outcome.message}" if outcome.error else outcome.message
        text = f"view {contract.name}.{method}: {what}\n{outcome.traceback}"
        raise TransactionFailed(text, outcome.kind, outcome.error, outcome.message)
    raise TransactionFailed(f"view {contract.name}.{method} does not end", type(outcome).__name__, "", "")
