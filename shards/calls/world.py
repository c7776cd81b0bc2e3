"""What a contract's run sees of the ledger: the state as the block has left it so far."""

from typing import Final

from primitives.errors import invariant
from primitives.identifiers import Hash
from shards.calls.records import code_key, decode_code, storage_key
from shards.working_state import WorkingState


class LedgerWorld:
    """See `contracts.port.World`. `in_hand` came with the call that runs and is credited at its first commit."""

    def __init__(self, state: WorkingState, in_hand: int, new_code: tuple[Hash, str] | None = None) -> None:
        self._state: Final = state
        self.in_hand = in_hand
        self._new_code: Final = new_code

    def source(self, code_hash: Hash) -> str:
        """See `World`."""
        if self._new_code is not None and self._new_code[0] == code_hash:
            return self._new_code[1]
        raw = self._state.get(code_key(code_hash))
        invariant(raw is not None, "code that runs is in the state")
        return decode_code(raw or b"").source

    def read(self, contract: str, key: bytes) -> bytes | None:
        """See `World`."""
        return self._state.get(storage_key(contract, key))

    def keys(self, contract: str, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """See `World`."""
        whole = storage_key(contract, b"")
        # A key k with k > after and prefix <= k lies above both, or is the prefix itself.
        found = [prefix] if prefix > after and self.read(contract, prefix) is not None else []
        low = whole + max(prefix, after)
        high = _end_of(whole + prefix)
        found += [key[len(whole) :] for key in self._state.keys_between(low, high, limit)]
        return found[:limit]

    def balance(self, contract: str) -> int:
        """See `World`."""
        draft = self._state.contract(contract)
        return self.in_hand + (draft.balance if draft is not None else 0)


def _end_of(prefix: bytes) -> bytes:
    """The least bytes above everything that begins with `prefix`, whose first byte is a namespace."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,))
