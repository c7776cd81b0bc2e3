"""Which transactions were seen to be good lately: a bounded memory of ids."""

from primitives.identifiers import TransactionId

MAX_REMEMBERED = 32_768
"""Verified and included ids remembered: some 16 full blocks, 5 MB."""


class VerifiedCache:
    """The latest `capacity` to `2 * capacity` ids: transactions whose signature is verified.

    The id is the hash of the full bytes, so it vouches for the signature. Two generations make forgetting O(1).
    """

    def __init__(self, capacity: int = MAX_REMEMBERED // 2) -> None:
        self._capacity = capacity
        self._young: set[TransactionId] = set()
        self._old: set[TransactionId] = set()

    def add(self, each: TransactionId) -> None:
        """Remember an id."""
        self._young.add(each)
        if len(self._young) > self._capacity:
            self._young, self._old = set(), self._young

    def __contains__(self, each: TransactionId) -> bool:
        return each in self._young or each in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
