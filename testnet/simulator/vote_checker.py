"""S3 and S4, from the bytes on the wire and from what is signed, read with the `msgpack` library and not with ours.

What a validator puts on the wire counts for ever, across its restarts. What it signs counts within one life of the
process: signing a vote that a crash then erases, unsent, is no offence.
"""

from collections.abc import Callable, Sequence
from typing import cast

import msgpack

from consensus.committee import Committee
from primitives.hashing import Domain
from testnet.simulator.faults import Name, place_of
from testnet.simulator.findings import Findings

_CONSENSUS, _COMMITMENT_SIGNATURE = 1, 3
_NOTARIZE, _NULLIFY, _FINALIZE = 1, 2, 3
_VOTE, _CERTIFICATE, _PROPOSED = 4, 5, 6
_SIGNED_KINDS: dict[bytes, int] = {Domain.NOTARIZE: _NOTARIZE, Domain.NULLIFY: _NULLIFY, Domain.FINALIZE: _FINALIZE}

Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> verdict."""


class VoteChecker:
    """Watches every validator of the simulation."""

    def __init__(self, committees: Sequence[Committee], verify: Verify, findings: Findings) -> None:
        self._committees = committees
        self._verify = verify
        self._findings = findings
        self._sent: dict[tuple[int, int, int, int], object] = {}
        """(shard, signer, view, kind) -> what was voted for, on the wire."""
        self._signed: dict[tuple[Name, int, int], object] = {}
        """(validator, view, kind) -> what it signed in its present life."""
        self._committed: dict[tuple[int, int, int], bytes] = {}
        self._certificates_checked: set[bytes] = set()
        self.votes_seen = 0
        self.guilty: frozenset[Name] = frozenset()
        """Whose votes prove nothing, whoever passes them on."""

    def restarted(self, node: Name) -> None:
        """The process begins a new life: what it signed and never sent is gone."""
        for key in [key for key in self._signed if key[0] == node]:
            del self._signed[key]

    def on_sign(self, node: Name, message: bytes) -> None:
        """Check the order of what one process signs: nothing but a nullify may follow a nullify in its view."""
        tag, _, content = message.partition(b"\0")
        kind = _SIGNED_KINDS.get(tag + b"\0")
        if kind is None or node in self.guilty:
            return
        fields = msgpack.unpackb(content)
        shard, index = place_of(node)
        view, voted = fields[3], tuple(fields[2:])
        if kind in {_NOTARIZE, _FINALIZE}:
            nullified = (node, view, _NULLIFY) in self._signed or (shard, index, view, _NULLIFY) in self._sent
            what = "notarize" if kind == _NOTARIZE else "finalize"
            earlier = self._signed.get((node, view, kind))
            # Signing the very same vote once more adds nothing that anyone could hold against the signer.
            self._findings.check(
                not nullified or earlier == voted or self._sent.get((shard, index, view, kind)) == voted,
                "S4",
                node,
                view,
                f"signs {what} in view {view} after nullifying it",
            )
            self._findings.check(earlier in {None, voted}, "S4", node, view, f"signs two {what} votes in view {view}")
        self._signed[node, view, kind] = voted

    def on_wire(self, node: Name, raw: bytes) -> None:
        """Check what a validator is about to put on the wire."""
        if len(raw) > 2 and raw[0] == _CONSENSUS and raw[2] in {_VOTE, _CERTIFICATE, _PROPOSED}:
            shard = place_of(node)[0]
            message = msgpack.unpackb(raw[1:])
            if raw[2] == _VOTE:
                self._vote(shard, message)
            elif raw[2] == _PROPOSED:
                self._vote(shard, message[1])
            else:
                self._quorum(node, shard, message[2], message[1][-1])
        elif raw and raw[0] == _COMMITMENT_SIGNATURE:
            shard = place_of(node)[0]
            commitment, signer, _ = msgpack.unpackb(raw[1:])
            height, signed = commitment[4], msgpack.packb(commitment)
            first = self._committed.setdefault((shard, signer, height), signed)
            self._findings.check(
                first == signed, "S4", f"s{shard}v{signer}", height, "signs two commitments for a height"
            )

    def on_certificate(self, node: Name, raw: bytes) -> None:
        """Check a commitment certificate in full, once for each set of bytes."""
        if raw in self._certificates_checked:
            return
        self._certificates_checked.add(raw)
        commitment, (signers, signatures) = msgpack.unpackb(raw)
        shard, height = commitment[2], commitment[4]
        bits = int.from_bytes(signers, "little")
        self._enough(node, shard, bits, len(signatures), height)
        keys = self._committees[shard].keys
        signed = [key for index, key in enumerate(keys) if bits >> index & 1]
        # Canonical MessagePack has one form: packing what was unpacked gives the bytes that were signed.
        message = Domain.COMMITMENT + msgpack.packb(commitment)
        good = all(self._verify(key, message, each) for key, each in zip(signed, signatures, strict=False))
        self._findings.check(good, "S3", node, height, "a commitment certificate has a signature that does not verify")

    def _vote(self, shard: int, vote: list[object]) -> None:
        self.votes_seen += 1
        _, statement, signer, _ = cast("tuple[int, list[object], int, bytes]", tuple(vote))
        kind = cast("int", statement[0])
        voted: object = statement[2] if kind == _NULLIFY else tuple(cast("list[object]", statement[1]))
        view = cast("int", statement[2] if kind == _NULLIFY else cast("list[object]", statement[1])[1])
        node = f"s{shard}v{signer}"
        if node in self.guilty:
            return
        first = self._sent.setdefault((shard, signer, view, kind), voted)
        self._findings.check(first == voted, "S4", node, view, f"two different votes of kind {kind} in view {view}")
        finalized = self._sent.get((shard, signer, view, _FINALIZE))
        if finalized is None:
            return
        nullified = (shard, signer, view, _NULLIFY) in self._sent
        self._findings.check(not nullified, "S4", node, view, f"both nullify and finalize in view {view}")
        notarized = self._sent.get((shard, signer, view, _NOTARIZE), finalized)
        self._findings.check(notarized == finalized, "S4", node, view, f"finalizes another than it notarized in {view}")

    def _quorum(self, node: Name, shard: int, quorum: list[object], about: object) -> None:
        signers, signatures = cast("tuple[bytes, list[bytes]]", tuple(quorum))
        view = about[1] if isinstance(about, list) else cast("int", about)
        self._enough(node, shard, int.from_bytes(signers, "little"), len(signatures), view)

    def _enough(self, node: Name, shard: int, bits: int, signatures: int, height: int) -> None:
        members = len(self._committees[shard].keys)
        distinct = bits.bit_count()
        # n > 3f and more than two thirds: the rule in the form of the literature, not the one of `Committee`.
        enough = 3 * distinct > 2 * members
        self._findings.check(
            enough and distinct == signatures and bits < 1 << members,
            "S3",
            node,
            height,
            f"a certificate with {distinct} signers and {signatures} signatures of {members} validators",
        )
