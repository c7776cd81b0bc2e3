"""SHA-256 with a domain tag in front: equal bytes of different kinds never hash or sign alike.

Tags end in a NUL, so no tag is a prefix of another. Merkle trees use the one-byte tags of their own
specifications (RFC 9162 and `state_tree`), none of which is the letter that our tags begin with.
"""

from hashlib import sha256
from typing import Final, NewType

from primitives.identifiers import Hash

Tag = NewType("Tag", bytes)


class Domain:
    """Every kind of thing that is hashed or signed, with its version."""

    GENESIS: Final = Tag(b"ostraka/genesis/v1\0")
    VALIDATOR_SET: Final = Tag(b"ostraka/validator-set/v1\0")
    BLOCK: Final = Tag(b"ostraka/block/v1\0")
    JUSTIFICATION: Final = Tag(b"ostraka/justification/v1\0")
    NOTARIZE: Final = Tag(b"ostraka/notarize/v1\0")
    NULLIFY: Final = Tag(b"ostraka/nullify/v1\0")
    FINALIZE: Final = Tag(b"ostraka/finalize/v1\0")
    TRANSACTION: Final = Tag(b"ostraka/transaction/v1\0")
    CALL_ID: Final = Tag(b"ostraka/call-id/v1\0")
    CHILD_CALL_ID: Final = Tag(b"ostraka/child-call-id/v1\0")
    MESSAGE: Final = Tag(b"ostraka/message/v1\0")
    STREAM_HEAD: Final = Tag(b"ostraka/stream-head/v1\0")
    MMR_ROOT: Final = Tag(b"ostraka/mmr-root/v1\0")
    COMMITMENT: Final = Tag(b"ostraka/commitment/v1\0")
    DEVELOPMENT_KEY: Final = Tag(b"ostraka/development-key/v1\0")
    HELLO: Final = Tag(b"ostraka/hello/v1\0")


def tagged_hash(domain: Tag, *parts: bytes) -> Hash:
    """SHA-256 of the tag and the parts, end to end; parts must be of fixed width or self-delimiting."""
    return Hash(sha256(domain + b"".join(parts)).digest())
