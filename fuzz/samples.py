"""Good inputs: a chain of three shards that has sent, replied and acknowledged, made once for all targets."""

from functools import cache

from msgspec.structs import replace

from consensus.block import Block
from primitives.amounts import Amount, pack_amount
from primitives.codec import encode
from primitives.identifiers import ShardId, ValidatorIndex
from primitives.signatures import ED25519
from shards import queries
from shards.commitments import Commitment, CommitmentCertificate, CommitmentSignature, signing_bytes
from shards.transactions import ContractCall, Deploy, Operation, RemoteCall, TopUp, Transfer, Upgrade
from tests.shards.builders import certify, validator_seed
from tests.support.stored_chain import StoredChain

SOURCE = """
from ostraka_contract import get, msg, put, view


async def add(number: int = 1) -> int:
    total = int(get("total") or 0) + number
    put("total", total)
    return total


@view
def total() -> int:
    return int(get("total") or 0)
"""


def make_chain() -> StoredChain:
    """Shard 0 has a contract, and has sent transfers to shards 1 and 2; those to shard 2 are settled."""
    made = StoredChain(shards=3)
    alice, bob, carol = made.accounts[:3]
    deploy = Deploy(
        name="tally", source=SOURCE, owner=alice.key, amount=pack_amount(Amount(0)), gas=300_000, arguments=encode([])
    )
    made.run(0, [made.transaction(0, carol, [deploy])])
    made.run(0, [made.remote(0, alice, 2, bob, 100), made.local(0, bob, alice, 7)])
    made.run(1)
    made.round_trip(0, 2)
    nonce = made.account(0, alice).nonce
    made.run(0, [made.remote(0, alice, 1, bob, 5 + each, nonce=nonce + each) for each in range(5)])
    return made


@cache
def chain() -> StoredChain:
    """The chain that most targets share; nothing changes it."""
    return make_chain()


def transactions() -> list[bytes]:
    """One signed transaction for each kind of operation, and one with several."""
    made = chain()
    alice, bob = made.accounts[:2]
    amount = pack_amount(Amount(3))
    arguments = encode([1])
    alone: list[Operation] = [
        Deploy(name="other", source=SOURCE, owner=b"", amount=amount, gas=300_000, arguments=arguments),
        Upgrade(name="tally", source=SOURCE, gas=300_000, arguments=arguments),
        ContractCall(contract="tally", method="add", arguments=arguments, amount=amount, gas=50_000),
        TopUp(call_id=bytes(32), gas=1000),  # type: ignore[arg-type]  # plain bytes
    ]
    together: list[Operation] = [
        Transfer(to=bob.key, amount=amount),
        made.send(2, bob, 9),
        RemoteCall(
            destination=ShardId(1),
            contract="tally",
            method="add",
            arguments=arguments,
            amount=amount,
            gas=50_000,
            deadline_ms=made.send(1, bob, 1).deadline_ms,
        ),
    ]
    return [made.transaction(0, alice, [each]) for each in alone] + [made.transaction(0, alice, together)]


def blocks() -> list[Block]:
    """Blocks with transactions, with bundles, and with nothing."""
    return [block for shard in chain().shards for block in shard.blocks]


def certificates() -> list[CommitmentCertificate]:
    """Of several shards, heights and quorums."""
    made = chain()
    found = [certify(execution.commitment, made.context) for shard in made.shards for execution in shard.executions]
    return [*found, certify(found[0].commitment, made.context, signers=(1, 2, 3))]


def signature(commitment: Commitment, index: int) -> CommitmentSignature:
    """One validator's signature over a commitment."""
    seed = validator_seed(commitment.shard, index)
    return CommitmentSignature(commitment, ValidatorIndex(index), ED25519.sign(seed, signing_bytes(commitment)))


def double_signed() -> list[tuple[CommitmentSignature, CommitmentSignature]]:
    """Pairs of signatures of one validator over different commitments for one height."""
    one = certificates()[0].commitment
    other = replace(one, state_root=type(one.state_root)(bytes(32)))
    pairs = [(signature(one, index), signature(other, index)) for index in (0, 2)]
    return [(first, second) if encode(first) < encode(second) else (second, first) for first, second in pairs]


def bundles() -> list[bytes]:
    """Bundles to shard 1, whole and in part."""
    made = chain()
    parts = [made.bundle(0, 1), made.bundle(0, 1, 2), made.bundle(0, 1, 1, 2), made.bundle(0, 1, 5)]
    return [encode(bundle) for bundle in parts]


def message_proofs() -> list[bytes]:
    """Of messages that shard 0 has sent, and of a reply."""
    made = chain()
    found = []
    for number in (0, 2):
        sent = [each.message_id for execution in made.shards[number].executions for each in execution.sent]
        found += [queries.message_proof(made.stores[number], each) for each in sent]
    return found
