"""A small chain for tests: real keys, a ledger for each shard, real certificates and bundles; no consensus, no time.

chain = TestChain(shards=2)
alice, bob = chain.accounts[:2]
chain.run(0, [chain.remote(0, alice, 1, bob, 5)])    # a finalized, executed, certified block of shard 0
chain.deliver(0, 1)                                  # the block of shard 1 with what shard 0 has sent
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from msgspec.structs import replace

from consensus.block import Block, BlockHeader, items_root
from consensus.committee import Validator, ValidatorSet
from consensus.quorum import assemble_quorum
from contracts.machine.local import LocalMachine
from contracts.port import MachineIdentity
from contracts.runtime.identity import installed_identity
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.codec import encode
from primitives.identifiers import (
    Epoch,
    Hash,
    Height,
    Milliseconds,
    Nonce,
    PublicKey,
    SecretSeed,
    ShardId,
    ValidatorIndex,
)
from primitives.identifiers import Sequence as SequenceNumber
from primitives.mmr import NodeReader
from primitives.signatures import ED25519, public_key_of
from shards.bundles import Bundle, assemble_bundle
from shards.commitments import Commitment, CommitmentCertificate, signing_bytes
from shards.gas import fee_of
from shards.genesis import Allocation, ChainContext, Genesis, GenesisShard
from shards.items import ItemKind, pack_item
from shards.ledger import Ledger
from shards.limits import MAX_BUNDLE_MESSAGES
from shards.outcome import Execution
from shards.receipts import Receipt, receipt_decoder
from shards.state import Account
from shards.transactions import Operation, RemoteTransfer, Transaction, Transfer, sign_transaction

GENESIS_TIME = Milliseconds(1_700_000_000_000)
BLOCK_INTERVAL_MS = 100
BOND = Amount(1_000_000)
BALANCE = Amount(1_000_000_000)

MACHINE = LocalMachine()
"""The real one, for all ledgers of a test process; loaded when the first contract runs."""


def seed_of(name: str) -> SecretSeed:
    """Secret seed of an account or validator by name."""
    return SecretSeed(sha256(b"test/" + name.encode()).digest())


class TestAccount:
    """A key that may have money on every shard."""

    __test__ = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.seed = seed_of(name)
        self.key: PublicKey = public_key_of(self.seed)


def validator_seed(shard: int, index: int) -> SecretSeed:
    """Voting key of a test validator."""
    return seed_of(f"validator/{shard}/{index}")


def make_genesis(
    shards: int = 2,
    validators: int = 4,
    accounts: Sequence[TestAccount] = (),
    balance: Amount = BALANCE,
    name: str = "test",
    machine: MachineIdentity | None = None,
) -> Genesis:
    """Genesis with the same accounts on every shard."""
    allocations = tuple(
        Allocation(account=key, amount=pack_amount(balance)) for key in sorted(account.key for account in accounts)
    )
    return Genesis(
        version=1,
        name=name,
        development=True,
        time_ms=GENESIS_TIME,
        machine=machine or installed_identity(),
        shards=tuple(
            GenesisShard(
                validators=ValidatorSet(
                    shard=ShardId(shard),
                    epoch=Epoch(0),
                    validators=tuple(
                        Validator(
                            public_key=public_key_of(validator_seed(shard, index)),
                            tls_certificate=b"",
                            bond=pack_amount(BOND),
                        )
                        for index in range(validators)
                    ),
                ),
                allocations=allocations,
            )
            for shard in range(shards)
        ),
    )


def make_accounts(count: int) -> list[TestAccount]:
    """Accounts "account0", "account1", …"""
    return [TestAccount(f"account{number}") for number in range(count)]


def certify(
    commitment: Commitment, context: ChainContext, signers: Iterable[int] | None = None
) -> CommitmentCertificate:
    """Certificate by the first validators of the shard (a quorum), or by those given."""
    committee = context.committee(commitment.shard)
    chosen = range(committee.quorum) if signers is None else signers
    message = signing_bytes(commitment)
    votes = {ValidatorIndex(index): ED25519.sign(validator_seed(commitment.shard, index), message) for index in chosen}
    return CommitmentCertificate(commitment=commitment, quorum=assemble_quorum(votes, committee))


def next_block(ledger: Ledger, context: ChainContext, shard: ShardId, items: Sequence[bytes], time_ms: int) -> Block:
    """Block that follows the ledger's latest one."""
    packed = tuple(items)
    header = BlockHeader(
        version=1,
        chain_id=context.chain_id,
        shard=shard,
        epoch=Epoch(0),
        height=Height(ledger.height + 1),
        parent=ledger.block_id,
        time_ms=Milliseconds(time_ms),
        anchor_hash=Hash(sha256(b"").digest()),
        item_count=len(packed),
        items_root=items_root(packed),
    )
    return Block(header=header, anchor=b"", items=packed)


class TestShard:
    """One shard's ledger with everything that its validators keep to serve bundles."""

    __test__ = False

    def __init__(self, context: ChainContext, shard: ShardId) -> None:
        self.context = context
        self.shard = shard
        self.ledger = Ledger(context, shard, machine=MACHINE)
        self.bodies: dict[int, list[bytes]] = {}
        self.nodes: dict[tuple[int, int, int], Hash] = {}
        self.history_nodes: dict[tuple[int, int], Hash] = {}
        self.executions: list[Execution] = []
        self.blocks: list[Block] = []

    def node_reader(self, destination: int) -> NodeReader:
        """Nodes of the mountain range towards a destination."""
        return lambda level, index: self.nodes.get((destination, level, index))

    def execute(self, items: Sequence[bytes], time_ms: int) -> Execution:
        """Execute and apply the next block."""
        block = next_block(self.ledger, self.context, self.shard, items, time_ms)
        execution = self.ledger.execute(block)
        self.ledger.apply(execution)
        for body in execution.sent:
            self.bodies.setdefault(body.destination, []).append(body.body)
            for node in body.nodes:
                self.nodes[body.destination, node.level, node.index] = node.hash
        for node in execution.history_nodes:
            self.history_nodes[node.level, node.index] = node.hash
        self.executions.append(execution)
        self.blocks.append(block)
        return execution

    def bundle(
        self, destination: int, first: int = 0, count: int | None = None, execution: Execution | None = None
    ) -> Bundle:
        """Bundle from the head certified for `execution` (the latest by default)."""
        execution = execution or self.executions[-1]
        head = execution.heads[destination]
        end = head.end if count is None else min(head.end, first + count)
        end = min(end, first + MAX_BUNDLE_MESSAGES)
        return assemble_bundle(
            certify(execution.commitment, self.context),
            execution.heads,
            ShardId(destination),
            SequenceNumber(first),
            self.bodies.get(destination, [])[first:end],
            self.node_reader(destination),
        )


class TestChain:
    """Ledgers of all shards and a clock that the test moves."""

    __test__ = False

    def __init__(
        self,
        shards: int = 2,
        validators: int = 4,
        accounts: int = 4,
        balance: Amount = BALANCE,
        name: str = "test",
        machine: MachineIdentity | None = None,
    ) -> None:
        self.accounts = make_accounts(accounts)
        self.context = ChainContext(make_genesis(shards, validators, self.accounts, balance, name, machine))
        self.shards = [TestShard(self.context, ShardId(shard)) for shard in range(shards)]
        self.time_ms: int = GENESIS_TIME

    def transaction(
        self,
        shard: int,
        sender: TestAccount,
        operations: Sequence[Operation],
        nonce: int | None = None,
        fee_limit: int | None = None,
        valid_until_ms: int | None = None,
    ) -> bytes:
        """Signed transaction; the nonce is the account's next one unless given."""
        account = self.account(shard, sender)
        body = Transaction(
            version=1,
            chain_id=self.context.chain_id,
            shard=ShardId(shard),
            sender=sender.key,
            nonce=account.nonce if nonce is None else Nonce(nonce),
            valid_until_ms=Milliseconds(self.time_ms + 3_600_000 if valid_until_ms is None else valid_until_ms),
            fee_limit=pack_amount(Amount(0)),
            operations=tuple(operations),
            memo=b"",
        )
        limit = fee_of(body) if fee_limit is None else fee_limit
        return sign_transaction(replace(body, fee_limit=pack_amount(Amount(limit))), sender.seed, ED25519)

    def local(self, shard: int, sender: TestAccount, to: TestAccount, amount: int, nonce: int | None = None) -> bytes:
        """Signed transfer to an account of the same shard."""
        return self.transaction(shard, sender, [Transfer(to=to.key, amount=pack_amount(Amount(amount)))], nonce)

    def remote(
        self,
        shard: int,
        sender: TestAccount,
        destination: int,
        to: TestAccount,
        amount: int,
        nonce: int | None = None,
        deadline_ms: int | None = None,
    ) -> bytes:
        """Signed transfer to an account of another shard."""
        return self.transaction(shard, sender, [self.send(destination, to, amount, deadline_ms)], nonce)

    def send(self, destination: int, to: TestAccount, amount: int, deadline_ms: int | None = None) -> RemoteTransfer:
        """The operation of a remote transfer."""
        return RemoteTransfer(
            destination=ShardId(destination),
            to=to.key,
            amount=pack_amount(Amount(amount)),
            deadline_ms=Milliseconds(self.time_ms + 600_000 if deadline_ms is None else deadline_ms),
        )

    def run(self, shard: int, transactions: Sequence[bytes] = (), bundles: Sequence[Bundle] = ()) -> Execution:
        """Execute a block with the transactions, then the bundles, one block interval later."""
        self.time_ms += BLOCK_INTERVAL_MS
        items = [pack_item(ItemKind.TRANSACTION, raw) for raw in transactions]
        items += [pack_item(ItemKind.BUNDLE, encode(bundle)) for bundle in bundles]
        return self.shards[shard].execute(items, self.time_ms)

    def bundle(self, source: int, destination: int, first: int | None = None, count: int | None = None) -> Bundle:
        """Bundle of what the destination has not consumed, or from `first` on."""
        if first is None:
            first = self.shards[destination].ledger.lane(ShardId(source)).recv_next
        return self.shards[source].bundle(destination, first, count)

    def deliver(self, source: int, destination: int, first: int | None = None, count: int | None = None) -> Execution:
        """Execute a block of the destination with such a bundle."""
        return self.run(destination, bundles=[self.bundle(source, destination, first, count)])

    def settle(self, rounds: int = 3) -> None:
        """Deliver everything everywhere until all is consumed, answered and acknowledged."""
        for _ in range(rounds):
            for destination in range(len(self.shards)):
                others = [
                    source
                    for source in range(len(self.shards))
                    if source != destination and self.shards[source].executions
                ]
                self.run(destination, bundles=[self.bundle(source, destination) for source in others])

    def account(self, shard: int, account: TestAccount) -> Account:
        """The account's record on a shard."""
        return self.shards[shard].ledger.account(account.key)

    def balance(self, shard: int, account: TestAccount) -> int:
        """The account's balance on a shard, in base units."""
        return unpack_amount(self.account(shard, account).balance)


def receipts_of(execution: Execution) -> list[Receipt]:
    """Decoded receipts of a block."""
    return [receipt_decoder.decode(raw) for raw in execution.receipts]
