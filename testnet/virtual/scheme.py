"""Ed25519 that checks equal bytes once: several simulated validators of one process ask for the same verdicts."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

from primitives.identifiers import PublicKey, SecretSeed, Signature
from primitives.signatures import ED25519

Key = TypeVar("Key")
Found = TypeVar("Found")

REMEMBERED = 65_536
"""Signatures and verdicts kept, some 10 MB; then it begins anew."""


class RememberingScheme:
    """`SignatureScheme`: every verdict and signature is the real one, made when it is first asked for."""

    def __init__(self) -> None:
        self._verdicts: dict[bytes, bool] = {}
        self._signatures: dict[bytes, Signature] = {}
        self._keys: dict[SecretSeed, PublicKey] = {}

    def public_key(self, seed: SecretSeed) -> PublicKey:
        """Public key of a 32-byte secret seed."""
        found = self._keys.get(seed)
        if found is None:
            found = _room(self._keys)[seed] = ED25519.public_key(seed)
        return found

    def sign(self, seed: SecretSeed, message: bytes) -> Signature:
        """Sign; Ed25519 has one signature for a key and a message."""
        name = _name(seed, message)
        found = self._signatures.get(name)
        if found is None:
            found = _room(self._signatures)[name] = ED25519.sign(seed, message)
        return found

    def verify_many(self, items: Sequence[tuple[PublicKey, bytes, Signature]]) -> list[bool]:
        """One verdict for each (public_key, message, signature), in order."""
        names = [_name(key, signature, message) for key, message, signature in items]
        known = _room(self._verdicts)
        unknown = {name: item for name, item in zip(names, items, strict=True) if name not in known}
        known.update(zip(unknown, ED25519.verify_many(list(unknown.values())), strict=True))
        return [known[name] for name in names]


def _room(kept: dict[Key, Found]) -> dict[Key, Found]:
    if len(kept) >= REMEMBERED:
        kept.clear()
    return kept


def _name(*parts: bytes) -> bytes:
    """Name of a question; all parts but the last have fixed lengths."""
    return blake2b(b"".join(parts), digest_size=32).digest()


SCHEME = RememberingScheme()
"""The one of this process: tests that follow each other begin with the same blocks."""
