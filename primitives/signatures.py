"""Ed25519 through libsodium: one library, one verdict for every signature, everywhere (placeholder interface)."""

from collections.abc import Sequence
from typing import Protocol

from primitives.identifiers import PublicKey, SecretSeed, Signature


class SignatureScheme(Protocol):
    """How to sign and verify; the simulator may bring a cheap one, everything else uses `ED25519`."""

    def public_key(self, seed: SecretSeed) -> PublicKey:
        """Public key of a 32-byte secret seed."""
        ...

    def sign(self, seed: SecretSeed, message: bytes) -> Signature:
        """Sign `message` (domain tag included)."""
        ...

    def verify_many(self, items: Sequence[tuple[PublicKey, bytes, Signature]]) -> list[bool]:
        """One verdict for each (public_key, message, signature), in order."""
        ...
