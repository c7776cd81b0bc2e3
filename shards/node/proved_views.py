"""A view's result, checked by whoever has the genesis: what the view read is proved, and it is run again on just that.

A validator's answer with `proof` holds a certificate and, under its state root, the contract's record, its code and
every key that the view read, each with its proof. Nothing else of the answer is believed: the view runs again in a
world made of those entries, and what comes of it must be what the validator says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from contracts.outcomes import Invocation, Outcome
from contracts.port import Machine
from primitives.errors import Refused, invariant
from primitives.identifiers import Hash, Height, Milliseconds, ShardId
from primitives.signatures import SignatureScheme
from primitives.state_tree import value_hash, verify_proof
from shards.calls.records import code_key, contract_key, decode_contract, storage_key
from shards.commitments import CommitmentCertificate, certificate_decoder, check_certificate
from shards.genesis import ChainContext
from shards.node import api_contracts as api
from shards.node.contract_views import failure_view, result_of
from shards.node.view_desk import Deployed, asked_run, deployed
from shards.state import path_of_key

_SHORTEST_KEY: Final = 3
"""A namespace and the length of the contract's name."""


@dataclass(frozen=True, slots=True)
class Question:
    """A view as it was asked for; `arguments` encoded, `sender` empty for nobody in particular."""

    contract: str
    shard: ShardId
    method: str
    arguments: bytes
    sender: str = ""


@dataclass(frozen=True, slots=True)
class VerifiedView:
    """What is certain of a view's answer: it holds in the state after `height`, which a quorum has signed."""

    height: Height
    time_ms: Milliseconds
    entries: int
    signers: int
    committee_size: int


class ProvedWorld:
    """A contract's world that holds what was proved and nothing else; notes what it was asked beyond."""

    def __init__(self, values: Mapping[bytes, bytes | None], contract: Deployed) -> None:
        self._values = values
        self._contract = contract
        self.missing: Final[dict[bytes, None]] = {}
        """Raw keys without a proof that were read, in that order."""
        self.has_listed = False
        """Whether keys were listed, of which there are no proofs."""

    def source(self, _code_hash: Hash) -> str:
        """See `World`."""
        return self._contract.code.source

    def read(self, contract: str, key: bytes) -> bytes | None:
        """See `World`."""
        return self._get(storage_key(contract, key))

    def keys(self, _contract: str, _prefix: bytes, _after: bytes, _limit: int) -> list[bytes]:
        """See `World`."""
        self.has_listed = True
        return []

    def balance(self, contract: str) -> int:
        """See `World`."""
        self._get(contract_key(contract))
        return int.from_bytes(self._contract.record.balance, "big")

    def _get(self, key: bytes) -> bytes | None:
        if key not in self._values:
            self.missing[key] = None
        return self._values.get(key)


def verify_view(
    answer: api.ViewAnswer, question: Question, context: ChainContext, scheme: SignatureScheme, machine: Machine
) -> VerifiedView:
    """Check an answer that came with a proof. Takes one run of the view, and two hashes or so per kilobyte of proof.

    Raises:
        Refused: `no_proof`; `bad_proof`, and what `check_certificate` and `verify_proof` refuse: the answer is not
            what the shard's quorum has certified, whoever gave it.

    """
    evidence = answer.proof
    if evidence is None:
        raise Refused("no_proof", "the answer came without a proof; nothing of it is certain")
    certificate = certificate_decoder.decode(bytes.fromhex(evidence.certificate))
    committee = context.committee(question.shard)
    check_certificate(certificate, committee, scheme)
    commitment = certificate.commitment
    if (answer.contract, answer.height, answer.time_ms) != (question.contract, commitment.height, commitment.time_ms):
        raise Refused("bad_proof", "the certificate is not of the block that the answer names")
    values = _proved_values(evidence, certificate)
    found = _deployed(question.contract, values)
    world = ProvedWorld(values, found)
    asked = asked_run(found, question.shard, question.method, question.arguments)
    call = msgspec.structs.replace(
        asked, sender=question.sender or asked.sender, height=commitment.height, time_ms=commitment.time_ms
    )
    outcome = _run(machine, call, world)
    if world.has_listed or world.missing:
        raise Refused("bad_proof", "the view reads what was not proved")
    if (result_of(outcome), failure_view(outcome)) != (bytes.fromhex(answer.encoded), answer.failure):
        raise Refused("bad_proof", "on the proved entries the view comes to something else than the validator says")
    return VerifiedView(
        height=commitment.height,
        time_ms=commitment.time_ms,
        entries=len(values),
        signers=len(list(certificate.quorum.indices())),
        committee_size=committee.size,
    )


def _proved_values(evidence: api.StateEvidence, certificate: CommitmentCertificate) -> dict[bytes, bytes | None]:
    """Raw keys with their records, None where the proof shows that there is none."""
    values: dict[bytes, bytes | None] = {}
    for entry in evidence.entries:
        key, value = bytes.fromhex(entry.key), None if entry.value is None else bytes.fromhex(entry.value)
        if len(key) < _SHORTEST_KEY:
            raise Refused("bad_proof", f"{entry.key!r} is no key of the state")
        proved = verify_proof(certificate.commitment.state_root, path_of_key(key), bytes.fromhex(entry.proof))
        if proved != (None if value is None else value_hash(value)):
            raise Refused("bad_proof", f"the proof of entry {entry.key[:32]}… is of another value")
        values[key] = value
    return values


def _deployed(name: str, values: Mapping[bytes, bytes | None]) -> Deployed:
    """The contract, with the code that is proved to be its."""
    record = values.get(contract_key(name))
    if record is None or values.get(code_key(decode_contract(record).code_hash)) is None:
        raise Refused("bad_proof", "the contract's record or its code is not among the proved entries")
    return deployed(name, values.get)


def _run(machine: Machine, invocation: Invocation, world: ProvedWorld) -> Outcome:
    outcomes: list[Outcome] = []
    machine.forget()
    machine.run([invocation], world, lambda _index, outcome: outcomes.append(outcome))
    invariant(len(outcomes) == 1, "a machine tells one outcome for one call")
    return outcomes[0]
