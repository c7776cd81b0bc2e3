"""The hello: the first message on a link in each direction, `signature(64) ‖ Hello`.

TLS has shown that the peer holds the key of a pinned certificate. The hello, signed with the voting key, says which
chain, shard, epoch and place it thinks this is, to whom it speaks, with which certificate, and what executes its
contracts, so that development keys shared by two chains, a wrong address, another protocol version or another engine
end in a clear refusal and not in noise.
"""

from hashlib import sha256
from typing import Annotated

from msgspec import Meta

from consensus.committee import Committee
from primitives.codec import Decoder, Record, encode
from primitives.errors import Refused
from primitives.hashing import Domain
from primitives.identifiers import (
    ChainIdField,
    EpochField,
    Hash,
    HashField,
    SecretSeed,
    ShardIdField,
    Signature,
    ValidatorIndex,
    ValidatorIndexField,
)
from primitives.signatures import SIGNATURE_BYTES, SignatureScheme

PROTOCOL_VERSION = 1
"""Of everything that validators of one shard say to one another."""

MAX_HELLO_BYTES = 256


class Hello(Record):
    """Who speaks to whom."""

    protocol_version: Annotated[int, Meta(ge=0, le=2**31)]
    chain_id: ChainIdField
    shard: ShardIdField
    epoch: EpochField
    index: ValidatorIndexField
    to: ValidatorIndexField
    certificate_hash: HashField
    """SHA-256 of the speaker's DER certificate on this link."""
    machine: HashField
    """Digest of the speaker's installed `MachineIdentity`."""


_decoder = Decoder(Hello, max_bytes=MAX_HELLO_BYTES - SIGNATURE_BYTES, name="hello")


def make_hello(
    committee: Committee,
    me: ValidatorIndex,
    to: ValidatorIndex,
    seed: SecretSeed,
    scheme: SignatureScheme,
    machine: Hash,
) -> bytes:
    """Hello of validator `me` to validator `to` of its committee; `machine` is the installed one's digest."""
    body = encode(
        Hello(
            protocol_version=PROTOCOL_VERSION,
            chain_id=committee.chain_id,
            shard=committee.shard,
            epoch=committee.epoch,
            index=me,
            to=to,
            certificate_hash=_certificate_hash(committee, me),
            machine=machine,
        )
    )
    return scheme.sign(seed, Domain.HELLO + body) + body


def check_hello(
    raw: bytes,
    committee: Committee,
    me: ValidatorIndex,
    peer: ValidatorIndex,
    scheme: SignatureScheme,
    machine: Hash,
) -> None:
    """Check the hello of the peer whose certificate TLS has seen; the cheapest check first.

    Raises:
        Refused: `too_large`, `malformed`, `not_canonical`, `wrong_version`, `wrong_chain`, `wrong_shard`,
            `wrong_epoch`, `other_machine`, `wrong_validator`, `self_link` or `bad_signature`.

    """
    if len(raw) > MAX_HELLO_BYTES:
        raise Refused("too_large", f"hello: {len(raw)} bytes, limit {MAX_HELLO_BYTES}")
    hello = _decoder.decode(raw[SIGNATURE_BYTES:])
    if hello.protocol_version != PROTOCOL_VERSION:
        versions = f"the peer speaks version {hello.protocol_version}, this validator {PROTOCOL_VERSION}"
        raise Refused("wrong_version", versions + "; run the same release everywhere")
    if hello.chain_id != committee.chain_id:
        raise Refused("wrong_chain", "the peer is on another chain (another genesis)")
    if hello.shard != committee.shard:
        raise Refused("wrong_shard", f"the peer is of shard {hello.shard}, this validator of shard {committee.shard}")
    if hello.epoch != committee.epoch:
        raise Refused("wrong_epoch", f"the peer is in epoch {hello.epoch}, this validator in {committee.epoch}")
    if hello.machine != machine:
        digests = f"the peer's contract machine is {hello.machine.hex()[:16]}…, this validator's {machine.hex()[:16]}…"
        raise Refused("other_machine", digests + "; `ostraka doctor` says what differs from the genesis")
    if hello.index == me:
        raise Refused("self_link", f"the peer is validator {me} as well; one of the addresses points back here")
    if hello.index != peer or hello.to != me:
        named = f"validator {hello.index} speaks to {hello.to}"
        raise Refused("wrong_validator", f"{named}, this link is from {peer} to {me}")
    if hello.certificate_hash != _certificate_hash(committee, peer):
        raise Refused("wrong_validator", "the hello names another certificate than this link has")
    if not scheme.verify_many([(committee.keys[peer], Domain.HELLO + raw[SIGNATURE_BYTES:], _signature(raw))])[0]:
        raise Refused("bad_signature", f"the hello is not signed by validator {peer}")


def _signature(raw: bytes) -> Signature:
    return Signature(raw[:SIGNATURE_BYTES])


def _certificate_hash(committee: Committee, index: ValidatorIndex) -> Hash:
    return Hash(sha256(committee.members.validators[index].tls_certificate).digest())
