"""Secret keys at rest: one JSON text, encrypted under a passphrase with scrypt (RFC 7914) and AES-256-GCM.

Everything readable in the file (format, version, public key, key derivation and its cost, salt, nonce) is
authenticated with the ciphertext, so nobody can swap the public key or weaken the parameters of a file unnoticed.
Randomness is an argument: whoever seals a key brings a fresh salt and nonce.
"""

import unicodedata
from typing import Annotated, Literal, NamedTuple

import msgspec
from Crypto.Cipher import AES
from Crypto.Protocol.KDF import scrypt
from msgspec import Meta

from primitives.codec import encode
from primitives.errors import Refused, invariant
from primitives.identifiers import SecretSeed
from primitives.signatures import SEED_BYTES, public_key_of

SALT_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
AES_KEY_BYTES = 32

MAX_FILE_BYTES = 4096
"""A file as we write it has about 700."""

MAX_PASSPHRASE = 1024
"""Characters. Long enough for any sentence; a pasted document is a mistake."""

MAX_SCRYPT_BYTES = 256 * 2**20
"""Memory a file may make its reader spend (128 * n * r bytes); eight times the default."""

MAX_SCRYPT_R = 32
"""Block size factor; everybody uses 8. Larger ones cost memory outside n * r."""

MAX_SCRYPT_P = 4
"""Times a file may make its reader fill that memory, about 0.8 s each."""


class ScryptCost(NamedTuple):
    """scrypt takes 128 * n * r bytes of memory and time in proportion to n * r * p; n is a power of two."""

    n: int
    r: int
    p: int


DEFAULT_COST = ScryptCost(n=2**15, r=8, p=1)
"""32 MiB and about 0.1 s for each guess at the passphrase."""

_hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{64}\\Z")]
_hex16 = Annotated[str, Meta(pattern="^[0-9a-f]{32}\\Z")]
_hex12 = Annotated[str, Meta(pattern="^[0-9a-f]{24}\\Z")]


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON object; everything but `ciphertext` and `tag` is the header."""

    format: Literal["ostraka-key"]
    version: Literal[1]
    public_key: _hex32
    kdf: Literal["scrypt"]
    n: Annotated[int, Meta(ge=2, le=2**31)]
    r: Annotated[int, Meta(ge=1, le=2**31)]
    p: Annotated[int, Meta(ge=1, le=2**31)]
    salt: _hex16
    cipher: Literal["aes-256-gcm"]
    nonce: _hex12
    ciphertext: _hex32
    tag: _hex16

    def header(self) -> bytes:
        """Canonical bytes of the header: the associated data."""
        return encode(msgspec.structs.astuple(self)[:-2])

    def cost(self) -> ScryptCost:
        """Cost parameters of this file."""
        return ScryptCost(self.n, self.r, self.p)


def seal_key(seed: SecretSeed, passphrase: str, *, salt: bytes, nonce: bytes, cost: ScryptCost = DEFAULT_COST) -> str:
    """Encrypt a seed; `salt` (16 bytes) and `nonce` (12 bytes) must be fresh random bytes for every file.

    Raises:
        Refused: `too_large`: the passphrase or the cost exceeds what `open_key` would accept.

    """
    invariant(len(seed) == SEED_BYTES, "an Ed25519 seed is 32 bytes")
    invariant(len(salt) == SALT_BYTES and len(nonce) == NONCE_BYTES, "a salt is 16 bytes, a nonce 12")
    blank = _KeyFile(
        format="ostraka-key",
        version=1,
        public_key=public_key_of(seed).hex(),
        kdf="scrypt",
        n=cost.n,
        r=cost.r,
        p=cost.p,
        salt=salt.hex(),
        cipher="aes-256-gcm",
        nonce=nonce.hex(),
        ciphertext="",
        tag="",
    )
    cipher = AES.new(_derive(passphrase, salt, cost), AES.MODE_GCM, nonce=nonce, mac_len=TAG_BYTES)
    cipher.update(blank.header())
    ciphertext, tag = cipher.encrypt_and_digest(seed)
    sealed = msgspec.structs.replace(blank, ciphertext=ciphertext.hex(), tag=tag.hex())
    return msgspec.json.format(msgspec.json.encode(sealed), indent=2).decode() + "\n"


def open_key(text: str, passphrase: str) -> SecretSeed:
    """Decrypt what `seal_key` wrote.

    Raises:
        Refused: `too_large` (the file, its scrypt cost, or the passphrase), `bad_key_file` (not such a file, or its
            public key is not the seed's), `wrong_passphrase` (or somebody altered the file: the cipher cannot tell).

    """
    if len(text) > MAX_FILE_BYTES:
        raise Refused("too_large", f"a key file has at most {MAX_FILE_BYTES} characters, this one {len(text)}")
    try:
        sealed = msgspec.json.decode(text.encode(), type=_KeyFile)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise Refused("bad_key_file", f"this is not an Ostraka key file: {error}") from None
    key = _derive(passphrase, bytes.fromhex(sealed.salt), sealed.cost())
    cipher = AES.new(key, AES.MODE_GCM, nonce=bytes.fromhex(sealed.nonce), mac_len=TAG_BYTES)
    cipher.update(sealed.header())
    try:
        plain = cipher.decrypt_and_verify(bytes.fromhex(sealed.ciphertext), bytes.fromhex(sealed.tag))
    except ValueError:
        raise Refused("wrong_passphrase", "the passphrase is wrong, or the file was altered") from None
    seed = SecretSeed(plain)
    if public_key_of(seed).hex() != sealed.public_key:
        raise Refused("bad_key_file", "the file names another public key than its secret has")
    return seed


def _derive(passphrase: str, salt: bytes, cost: ScryptCost) -> bytes:
    """AES key of a passphrase, in Unicode's composed form so that every keyboard gives the same bytes."""
    n, r, p = cost
    if 128 * n * r > MAX_SCRYPT_BYTES or r > MAX_SCRYPT_R or p > MAX_SCRYPT_P:
        limits = f"128 * n * r <= {MAX_SCRYPT_BYTES}, r <= {MAX_SCRYPT_R}, p <= {MAX_SCRYPT_P}"
        raise Refused("too_large", f"scrypt with n={n} r={r} p={p} is too costly to open; the limits are {limits}")
    if n.bit_count() != 1:
        raise Refused("bad_key_file", f"scrypt needs a power of two for n, got {n}")
    if len(passphrase) > MAX_PASSPHRASE:
        raise Refused("too_large", f"a passphrase has at most {MAX_PASSPHRASE} characters, got {len(passphrase)}")
    secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    derived = scrypt(secret, salt, key_len=AES_KEY_BYTES, N=n, r=r, p=p)
    invariant(isinstance(derived, bytes), "one key was asked for")
    return bytes(derived)
