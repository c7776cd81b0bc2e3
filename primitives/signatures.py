"""Ed25519 through libsodium: one library, one verdict for every signature, everywhere.

A verdict on a signature is consensus: validators that disagree on one signature disagree on a block. Libraries do
disagree on crafted keys and signatures, so the semantics are pinned to those of libsodium's `crypto_sign_open`:

- RFC 8032 §5.1.7 with the *cofactorless* equation: R == [S]B - [k]A, compared as encodings of R;
- S must be below the group order (no malleability);
- the public key must be a canonical encoding and not of small order;
- R must not be of small order (hence the identity as R never verifies).

What a mixed-order key signs is judged by the cofactorless equation and can therefore go either way with the message,
but the same way for everyone. That is why batch verification, whose equation is cofactored or, worse, random on such
keys, must never replace this function unless every verifier of the chain moves to cofactored rules (ZIP-215) at the
same height. The recorded verdicts are in `tests/primitives/test_signatures.py`.

libsodium is called through PyNaCl and runs without the interpreter lock, so threads verify in parallel.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Protocol

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from primitives.errors import invariant
from primitives.identifiers import PublicKey, SecretSeed, Signature

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

EXPANDED_KEYS = 256
"""Key pairs remembered: expanding a seed costs as much as a signature, and a simulation signs with about a dozen."""


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


@lru_cache(maxsize=EXPANDED_KEYS)
def _key_pair(seed: SecretSeed) -> tuple[PublicKey, bytes]:
    """Public key and libsodium's 64-byte secret key (seed, then public key)."""
    invariant(len(seed) == SEED_BYTES, "an Ed25519 seed is 32 bytes")
    public_key, secret_key = crypto_sign_seed_keypair(seed)
    return PublicKey(public_key), secret_key


def public_key_of(seed: SecretSeed) -> PublicKey:
    """Public key of a 32-byte secret seed."""
    return _key_pair(seed)[0]


def sign(seed: SecretSeed, message: bytes) -> Signature:
    """Sign `message` (domain tag included); deterministic, as RFC 8032 has it."""
    return Signature(crypto_sign(message, _key_pair(seed)[1])[:SIGNATURE_BYTES])


def verify_many(items: Sequence[tuple[PublicKey, bytes, Signature]]) -> list[bool]:
    """One verdict for each (public_key, message, signature), in order; about 50 us each.

    A key or signature of the wrong length is a False like any other: nothing that a peer sends makes this raise.
    """
    verdicts = []
    for public_key, message, signature in items:
        # Concatenated, a short signature would borrow bytes from the message: lengths come first.
        if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
            verdicts.append(False)
            continue
        try:
            crypto_sign_open(signature + message, public_key)
        except BadSignatureError:
            verdicts.append(False)
        else:
            verdicts.append(True)
    return verdicts


class _Ed25519:
    """`SignatureScheme` made of the functions above."""

    def public_key(self, seed: SecretSeed) -> PublicKey:
        """See `public_key_of`."""
        return public_key_of(seed)

    def sign(self, seed: SecretSeed, message: bytes) -> Signature:
        """See the function `sign`."""
        return sign(seed, message)

    def verify_many(self, items: Sequence[tuple[PublicKey, bytes, Signature]]) -> list[bool]:
        """See the function `verify_many`."""
        return verify_many(items)


ED25519: Final[SignatureScheme] = _Ed25519()
"""The scheme of every real chain."""
