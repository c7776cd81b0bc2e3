"""A signature scheme for simulations: the right shapes and verdicts at a fortieth of the cost, and no security.

The "signature" is BLAKE2b over the message keyed with the *public* key. Nobody in a simulation forges on purpose:
what Byzantine actors sign for others is random bytes. One seed in twenty runs with real Ed25519 instead.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b

from primitives.identifiers import PublicKey, SecretSeed, Signature
from primitives.signatures import SignatureScheme


@lru_cache(maxsize=4096)
def _public_key(seed: SecretSeed) -> PublicKey:
    return PublicKey(blake2b(seed, digest_size=32, person=b"simulated key").digest())


class CheapScheme:
    """`SignatureScheme` for most seeds."""

    def public_key(self, seed: SecretSeed) -> PublicKey:
        """Public key of a 32-byte secret seed."""
        return _public_key(seed)

    def sign(self, seed: SecretSeed, message: bytes) -> Signature:
        """Stand-in for a signature of `message`."""
        return Signature(blake2b(message, key=_public_key(seed)).digest())

    def verify_many(self, items: Sequence[tuple[PublicKey, bytes, Signature]]) -> list[bool]:
        """One verdict for each (public_key, message, signature), in order."""
        return [blake2b(message, key=key).digest() == signature for key, message, signature in items]


class WatchedScheme:
    """Passes everything on and tells `on_sign(message)` of every signature made: one per validator process."""

    def __init__(self, scheme: SignatureScheme, on_sign: Callable[[bytes], None]) -> None:
        self._scheme = scheme
        self._on_sign = on_sign
        self.verify_many = scheme.verify_many
        self.public_key = scheme.public_key

    def sign(self, seed: SecretSeed, message: bytes) -> Signature:
        """Sign, and tell."""
        self._on_sign(message)
        return self._scheme.sign(seed, message)
