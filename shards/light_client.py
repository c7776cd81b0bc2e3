"""A light client: knows the genesis, hears certificates, and can then be shown things with proofs.

It believes a commitment when a quorum of the shard's committee signed it, and never two for one height: a second one
freezes that shard, and only that one, with both certificates as the evidence. Nothing else about a frozen shard is
believed any more, because more than a third of its committee has lied.

From one certificate per shard anyone can check that no money was made or lost (`supply_identity`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from primitives.amounts import Amount, unpack_amount
from primitives.codec import Decoder
from primitives.errors import Refused
from primitives.identifiers import Height, PublicKey, ShardId
from primitives.merkle import tree_root
from primitives.signatures import SignatureScheme
from primitives.state_tree import value_hash, verify_proof
from shards.commitments import Commitment, CommitmentCertificate, check_certificate
from shards.genesis import ChainContext
from shards.genesis_state import genesis_money
from shards.state import EMPTY_ACCOUNT, Account, account_key, path_of_key
from shards.streams import StreamHead, head_leaf

REMEMBERED_HEIGHTS = 1024
"""Per shard: among these a second certificate for one height is noticed, and older proofs find their root."""

_account_decoder = Decoder(Account, max_bytes=64, name="account")


class Acceptance(Enum):
    """What a good certificate was to the light client."""

    NEWEST = "newest"
    OLDER = "older"
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two certificates of one shard for one height that contradict each other."""

    first: CommitmentCertificate
    second: CommitmentCertificate


class Verdict(Enum):
    """What one certificate per shard says about the whole chain's money."""

    CONSERVED = "conserved"
    VIOLATED = "violated"
    UNCLEAR = "unclear"
    """A shard's certificate is older than what another has already received from it; ask for newer ones."""


@dataclass(frozen=True, slots=True)
class PairFlow:
    """Base units of one ordered pair of shards over all time, prepaid gas and replies included."""

    source: ShardId
    destination: ShardId
    sent: Amount
    received: Amount
    source_is_older: bool
    """The destination has consumed messages that the source's certificate does not cover yet."""

    @property
    def in_flight(self) -> int:
        """Sent and not received."""
        return self.sent - self.received


@dataclass(frozen=True, slots=True)
class ConservationReport:
    """Where all money is, in base units: held + in flight + burnt = genesis."""

    verdict: Verdict
    genesis: int
    held: int
    """Balances, bonds, held fees and escrow of all shards."""
    burnt: int
    in_flight: int
    pairs: tuple[PairFlow, ...]
    """Empty when no heads were given."""
    problems: tuple[str, ...]


class LightClient:
    """Everything it believes follows from the genesis in `context` and quorums of signatures."""

    def __init__(self, context: ChainContext, scheme: SignatureScheme) -> None:
        self._context = context
        self._scheme = scheme
        self._accepted: dict[ShardId, dict[Height, CommitmentCertificate]] = {}
        self._frozen: dict[ShardId, Equivocation] = {}

    def accept(self, certificate: CommitmentCertificate) -> Acceptance:
        """Take in a certificate of any shard.

        Raises:
            Refused: `unknown_shard`; what `check_certificate` refuses; `equivocation` when it contradicts an accepted
                one of its height (which freezes the shard), `frozen` from then on.

        """
        commitment = certificate.commitment
        shard, height = commitment.shard, commitment.height
        committee = self._context.committee(shard)
        self._refuse_frozen(shard)
        accepted = self._accepted.setdefault(shard, {})
        known = accepted.get(height)
        if known is not None and known.commitment == commitment:
            return Acceptance.KNOWN
        check_certificate(certificate, committee, self._scheme)
        if known is not None:
            self._frozen[shard] = Equivocation(known, certificate)
            raise Refused(
                "equivocation", f"shard {shard} certified two commitments for height {height}; it is frozen from now on"
            )
        newest = max(accepted, default=-1)
        accepted[height] = certificate
        if len(accepted) > REMEMBERED_HEIGHTS:
            del accepted[min(accepted)]
        return Acceptance.NEWEST if height > newest else Acceptance.OLDER

    def newest(self, shard: ShardId) -> CommitmentCertificate | None:
        """The accepted certificate of the greatest height, or None."""
        accepted = self._accepted.get(shard)
        return accepted[max(accepted)] if accepted else None

    def equivocation(self, shard: ShardId) -> Equivocation | None:
        """Why a shard is frozen; None when it is not."""
        return self._frozen.get(shard)

    def verify_account(
        self, shard: ShardId, address: PublicKey, proof: bytes, value: bytes | None, *, height: Height | None = None
    ) -> Account:
        """Verify an account's record `value` (None: there is no such account) at an accepted height, or the newest.

        Raises:
            Refused: `frozen`, `unknown_height`, `bad_proof`, `wrong_value` or what decoding the record raises.

        """
        proved = verify_proof(self._commitment(shard, height).state_root, path_of_key(account_key(address)), proof)
        if proved != (None if value is None else value_hash(value)):
            raise Refused("wrong_value", "the proof is for another value than the one shown")
        return EMPTY_ACCOUNT if value is None else _account_decoder.decode(value)

    def verify_heads(self, shard: ShardId, heads: Sequence[StreamHead], *, height: Height | None = None) -> None:
        """Verify that these are all heads of a shard at an accepted height, or the newest.

        Raises:
            Refused: `frozen`, `unknown_height` or `wrong_heads`.

        """
        self._check_heads(self._commitment(shard, height), heads)

    def supply_identity(
        self,
        certificates: Iterable[CommitmentCertificate],
        heads: Mapping[ShardId, Sequence[StreamHead]] | None = None,
    ) -> ConservationReport:
        """Check that no money was made or lost, from one certificate of each shard.

        With the `heads` of those heights it also says what is in flight between each two shards, and tells a violation
        from certificates that are of different moments.

        Raises:
            Refused: `incomplete` unless there is one certificate per shard; `wrong_heads`; as `accept`.

        """
        by_shard: dict[ShardId, Commitment] = {}
        for certificate in certificates:
            shard = certificate.commitment.shard
            if shard in by_shard:
                raise Refused("incomplete", f"there are two certificates of shard {shard}; give one of each")
            self.accept(certificate)
            by_shard[shard] = certificate.commitment
        missing = [shard for shard in range(self._context.shard_count) if shard not in by_shard]
        if missing:
            raise Refused("incomplete", f"there is no certificate of shards {missing}; give one of each")
        commitments = [by_shard[ShardId(shard)] for shard in range(self._context.shard_count)]
        problems = [problem for each in commitments for problem in self._supply_problems(each)]
        pairs: tuple[PairFlow, ...] = ()
        if heads is not None:
            for each in commitments:
                self._check_heads(each, heads.get(each.shard, ()))
                problems += _stream_problems(each, heads[each.shard])
            pairs = _pairs(heads)
        return _report(commitments, pairs, problems)

    def _commitment(self, shard: ShardId, height: Height | None) -> Commitment:
        self._refuse_frozen(shard)
        accepted = self._accepted.get(shard) or {}
        certificate = accepted.get(max(accepted, default=Height(0)) if height is None else height)
        if certificate is None:
            raise Refused("unknown_height", f"no certificate of shard {shard} for that height has been accepted")
        return certificate.commitment

    def _refuse_frozen(self, shard: ShardId) -> None:
        if shard in self._frozen:
            height = self._frozen[shard].first.commitment.height
            raise Refused("frozen", f"shard {shard} certified two commitments for height {height}; do not trust it")

    def _check_heads(self, commitment: Commitment, heads: Sequence[StreamHead]) -> None:
        lanes = [(commitment.shard, destination) for destination in range(self._context.shard_count)]
        if [(head.source, head.destination) for head in heads] != lanes:
            raise Refused("wrong_heads", f"there must be one head of shard {commitment.shard} for each shard, in order")
        if tree_root([head_leaf(self._context.chain_id, head) for head in heads]) != commitment.outbox_root:
            raise Refused("wrong_heads", "the heads do not lead to the certified outbox root")

    def _supply_problems(self, commitment: Commitment) -> Iterable[str]:
        supply = commitment.supply
        if not supply.holds():
            yield f"shard {commitment.shard}: what it holds is not genesis - burnt - sent + received"
        if unpack_amount(supply.genesis) != genesis_money(self._context, commitment.shard):
            yield f"shard {commitment.shard}: it says that it began with other money than the genesis gave it"


def _stream_problems(commitment: Commitment, heads: Sequence[StreamHead]) -> Iterable[str]:
    supply = commitment.supply
    if sum(unpack_amount(head.value_sent) for head in heads) != unpack_amount(supply.sent):
        yield f"shard {commitment.shard}: its streams sent another value than its supply counters say"
    if sum(unpack_amount(head.value_received) for head in heads) != unpack_amount(supply.received):
        yield f"shard {commitment.shard}: its streams received another value than its supply counters say"


def _pairs(heads: Mapping[ShardId, Sequence[StreamHead]]) -> tuple[PairFlow, ...]:
    return tuple(
        PairFlow(
            source=source,
            destination=destination,
            sent=unpack_amount(heads[source][destination].value_sent),
            received=unpack_amount(heads[destination][source].value_received),
            source_is_older=heads[destination][source].ack_next > heads[source][destination].end,
        )
        for source in sorted(heads)
        for destination in sorted(heads)
        if source != destination
    )


def _report(commitments: Sequence[Commitment], pairs: tuple[PairFlow, ...], problems: list[str]) -> ConservationReport:
    supplies = [commitment.supply for commitment in commitments]
    in_flight = sum(unpack_amount(each.sent) - unpack_amount(each.received) for each in supplies)
    mixed = any(pair.source_is_older for pair in pairs) or (not pairs and in_flight < 0)
    problems += [
        f"shard {pair.destination} received more from shard {pair.source} than that one sent"
        for pair in pairs
        if pair.in_flight < 0 and not pair.source_is_older
    ]
    verdict = Verdict.VIOLATED if problems else Verdict.UNCLEAR if mixed else Verdict.CONSERVED
    return ConservationReport(
        verdict=verdict,
        genesis=sum(unpack_amount(each.genesis) for each in supplies),
        held=sum(
            sum(map(unpack_amount, (each.balances, each.bonds, each.held_fees, each.escrow))) for each in supplies
        ),
        burnt=sum(unpack_amount(each.burnt) for each in supplies),
        in_flight=in_flight,
        pairs=pairs,
        problems=tuple(problems),
    )
