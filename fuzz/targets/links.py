"""What validators send one another: frames, hellos, consensus messages, certificates, evidence."""

from collections.abc import Callable
from itertools import combinations
from typing import Final

from consensus.evidence import conflict, make_evidence, verify_evidence
from consensus.messages import (
    ArchiveRequest,
    BlockAnswer,
    BlockRequest,
    Certificates,
    Message,
    Nullify,
    Statement,
    TipRequest,
    ViewsRequest,
    decode_message,
)
from fuzz import samples
from fuzz.target import Target, must
from primitives.codec import encode
from primitives.identifiers import BlockId, Hash, Height, ShardId, ValidatorIndex, View
from primitives.signatures import ED25519
from shards.bundles import decode_bundle
from shards.commitments import certificate_decoder, check_certificate
from shards.node.frames import pack_frame, unpack_frame
from shards.node.hello import check_hello, make_hello
from shards.validator import wire
from shards.validator.certifier import check_signature_form, evidence_decoder, verify_double_signing
from shards.validator.wire import PeerKind
from tests.consensus.solo import Solo
from tests.shards.builders import validator_seed

_SOLO: Final = Solo()
_FIRST: Final = _SOLO.make(1)
_THIRD: Final = _SOLO.make(3)
_OTHER: Final = _SOLO.make(1, item=b"other")

_MESSAGES: Final[tuple[Message, ...]] = (
    _SOLO.vote(_FIRST.notarize, 1),
    _SOLO.vote(_FIRST.nullify, 2),
    _SOLO.vote(_FIRST.finalize, 3),
    _FIRST.notarization,
    _SOLO.nullification(1),
    _FIRST.proposed,
    _THIRD.proposed,
    BlockRequest(BlockId(bytes(32))),
    BlockAnswer(_FIRST.proposed.block),
    ViewsRequest(View(1), View(2)),
    TipRequest(View(7), View(6)),
    Certificates((_FIRST.finalization, _SOLO.nullification(2))),
    ArchiveRequest(Height(1)),
)

_MACHINE: Final = Hash(bytes(32))


def only(verify: Callable[[bytes], object], good: Callable[[], list[bytes]]) -> Callable[[bytes], None]:
    """A reader for which nothing but the samples may verify: they are signed, and nobody here signs anything new."""

    def read(raw: bytes) -> None:
        verify(raw)
        must(raw in good(), "it was changed, and verifies")

    return read


def _messages() -> list[bytes]:
    return [encode(message) for message in _MESSAGES]


def _frames() -> list[bytes]:
    raws = _messages()
    return [pack_frame(raws[:1]), pack_frame(raws[:4]), pack_frame([b"", b"x" * 300])]


def _read_frame(raw: bytes) -> None:
    must(pack_frame(unpack_frame(raw)) == raw, "a frame is read as other messages than it has")


def _read_message(raw: bytes) -> None:
    must(encode(decode_message(raw)) == raw, "a message has two forms")


def _hear(raw: bytes) -> None:
    """A replica hears it from every peer, then everything else goes on: it says nothing that nobody asked it to."""
    solo = Solo()
    for sender in (1, 2, 3):
        solo.hear(sender, raw)
    solo.wait(60_000)
    # It votes for what a leader has signed, and nobody has signed anything but these; nor does it contradict itself.
    voted = [vote.proposal for vote in solo.said if not isinstance(vote, Nullify)]
    must(all(proposal in (_FIRST.proposal, _THIRD.proposal) for proposal in voted), "it votes for what nobody proposed")
    must(not any(conflict(one, other) for one, other in combinations(solo.said, 2)), "it contradicts itself")
    must(solo.finalized in ([], [_FIRST.block_id]), "something was finalized that has no quorum")


def _peer_messages() -> list[bytes]:
    signed = samples.signature(samples.certificates()[0].commitment, 1)
    return [
        wire.pack(PeerKind.CONSENSUS, _messages()[0]),
        wire.pack_transactions(tuple(samples.transactions()[:2])),
        wire.pack(PeerKind.COMMITMENT_SIGNATURE, encode(signed)),
        wire.pack(PeerKind.CERTIFICATE, encode(samples.certificates()[0])),
        wire.pack(PeerKind.BUNDLE, samples.bundles()[0]),
    ]


def _read_peer_message(raw: bytes) -> None:
    kind, content = wire.unpack(raw)
    match kind:
        case PeerKind.CONSENSUS:
            decode_message(content)
        case PeerKind.TRANSACTIONS:
            must(wire.pack_transactions(wire.unpack_transactions(content)) == raw, "a batch has two forms")
        case PeerKind.COMMITMENT_SIGNATURE:
            check_signature_form(wire.unpack_signature(content), samples.chain().context.committee(ShardId(0)))
        case PeerKind.CERTIFICATE:
            wire.unpack_certificate(content)
        case PeerKind.BUNDLE:
            decode_bundle(content)


def _hellos() -> list[bytes]:
    committee = samples.chain().context.committee(ShardId(0))
    me, to = ValidatorIndex(1), ValidatorIndex(0)
    return [make_hello(committee, me, to, validator_seed(0, 1), ED25519, _MACHINE)]


def _check_hello(raw: bytes) -> None:
    committee = samples.chain().context.committee(ShardId(0))
    check_hello(raw, committee, ValidatorIndex(0), ValidatorIndex(1), ED25519, _MACHINE)


def _certificates() -> list[bytes]:
    return [encode(certificate) for certificate in samples.certificates()]


def _check_certificate(raw: bytes) -> None:
    certificate = certificate_decoder.decode(raw)
    check_certificate(certificate, samples.chain().context.committee(certificate.commitment.shard), ED25519)


def _evidence() -> list[bytes]:
    votes: list[tuple[Statement, Statement]] = [
        (_FIRST.notarize, _OTHER.notarize),
        (_FIRST.nullify, _FIRST.finalize),
        (_FIRST.notarize, _OTHER.finalize),
    ]
    return [encode(make_evidence(_SOLO.vote(one, 2), _SOLO.vote(other, 2))) for one, other in votes]


def _verify_evidence(raw: bytes) -> None:
    culprit = verify_evidence(raw, _SOLO.committee, _SOLO.scheme)
    must(culprit == 2, "an honest validator is blamed")


def _double_signed() -> list[bytes]:
    record = evidence_decoder.decode
    pairs = [encode(pair) for pair in samples.double_signed()]
    return [encode(record(pair)) for pair in pairs]


def _verify_double_signed(raw: bytes) -> None:
    culprit = verify_double_signing(raw, samples.chain().context.committee(ShardId(0)), ED25519)
    must(culprit in (0, 2), "an honest validator is blamed")


TARGETS: Final = (
    Target("frame", _read_frame, _frames, form="bytes"),
    Target("peer-message", _read_peer_message, _peer_messages, prefix=1),
    Target("hello", only(_check_hello, _hellos), _hellos, prefix=64),
    Target("consensus-message", _read_message, _messages),
    Target("consensus-replica", _hear, _messages, weight=50),
    Target("evidence", _verify_evidence, _evidence),
    Target("commitment-certificate", only(_check_certificate, _certificates), _certificates),
    Target("double-signing", _verify_double_signed, _double_signed),
)
