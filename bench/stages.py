"""CPU per transfer in one validator, split by stage, without network or consensus: `python bench/stages.py`.

Blocks of signed transfers between random accounts go through the production objects in the order in which a
validator uses them; every stage is timed by the CPU it takes (`process_time`), the median over the blocks is shown.
"""

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from consensus.block import Block, BlockHeader, block_id_of, decode_block, items_root
from consensus.committee import Validator, ValidatorSet
from contracts.machine.local import LocalMachine
from contracts.runtime.identity import installed_identity
from primitives.amounts import Amount, pack_amount
from primitives.codec import encode
from primitives.identifiers import Epoch, Hash, Height, Milliseconds, Nonce, PublicKey, SecretSeed, ShardId
from primitives.signatures import ED25519, public_key_of
from primitives.storage import Write, integer_key
from shards import chain_store
from shards.gas import fee_of
from shards.genesis import Allocation, ChainContext, Genesis, GenesisShard
from shards.items import ItemKind, pack_item
from shards.ledger import Ledger
from shards.mempool import Mempool
from shards.node.storage import LmdbStore
from shards.transactions import Transaction, Transfer, sign_transaction
from shards.validator.checks import check_items
from shards.validator.pending import PendingChain, parse_block

SHARD = ShardId(0)
NOW = 1_700_000_000_000


class Stages:
    """CPU seconds by stage, one list entry a block."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.seconds[stage].append(time.process_time() - began)


def seed_of(number: int) -> SecretSeed:
    return SecretSeed(sha256(number.to_bytes(8, "big")).digest())


def make_chain(accounts: int) -> tuple[ChainContext, list[tuple[PublicKey, SecretSeed]]]:
    keys = [(public_key_of(seed_of(number)), seed_of(number)) for number in range(accounts)]
    members = tuple(Validator(public_key_of(seed_of(2**40 + index)), b"", pack_amount(Amount(0))) for index in range(4))
    allocations = tuple(Allocation(key, pack_amount(Amount(10**12))) for key, _ in sorted(keys))
    shard = GenesisShard(ValidatorSet(SHARD, Epoch(0), members), allocations)
    return ChainContext(Genesis(1, "bench", True, Milliseconds(NOW), installed_identity(), (shard,))), keys


def signed_transfers(
    context: ChainContext, keys: list[tuple[PublicKey, SecretSeed]], nonces: dict[PublicKey, int], count: int
) -> list[bytes]:
    raws = []
    for _ in range(count):
        sender, seed = random.choice(keys)
        to, _ = random.choice(keys)
        body = Transaction(
            1,
            context.chain_id,
            SHARD,
            sender,
            Nonce(nonces[sender]),
            Milliseconds(NOW + 3_600_000),
            pack_amount(Amount(1000)),
            (Transfer(to, pack_amount(Amount(1))),),
            b"",
        )
        assert fee_of(body) <= 1000
        nonces[sender] += 1
        raws.append(sign_transaction(body, seed, ED25519))
    return raws


def make_block(context: ChainContext, ledger: Ledger, items: tuple[bytes, ...]) -> Block:
    header = BlockHeader(
        1,
        context.chain_id,
        SHARD,
        Epoch(0),
        Height(ledger.height + 1),
        ledger.block_id,
        Milliseconds(ledger.time_ms + 100),
        Hash(sha256(b"").digest()),
        len(items),
        items_root(items),
    )
    return Block(header, b"", items)


def run(accounts: int, block_size: int, blocks: int, folder: Path) -> dict[str, float]:
    context, keys = make_chain(accounts)
    ledger = Ledger(context, SHARD, machine=LocalMachine())
    mempool = Mempool(context, SHARD, ledger.account)
    store = LmdbStore(folder, tables=("consensus.blocks", *chain_store.TABLES))
    stages, nonces = Stages(), defaultdict[PublicKey, int](int)
    refuse: Callable[..., None] = lambda *_: None  # noqa: E731 - no bundles here
    for _ in range(blocks):
        raws = signed_transfers(context, keys, nonces, block_size)
        with stages.measure("decode, id, mempool checks"):
            parsed = [mempool.check(raw, now_ms=NOW) for raw in raws]
        with stages.measure("verify signature"):
            verdicts = ED25519.verify_many([each.signature_item() for each in parsed])
        assert all(verdicts)
        with stages.measure("into the mempool"):
            for each in parsed:
                mempool.insert(each, now_ms=NOW, from_client=True)
        chain = PendingChain(ledger, ())
        with stages.measure("choose for a block (leader only)"):
            chosen = mempool.select(
                max_gas=10**9,
                max_bytes=10**9,
                max_items=block_size,
                time_ms=NOW,
                next_nonce=chain.next_nonce,
                blocked=frozenset(),
            )
            items = tuple(pack_item(ItemKind.TRANSACTION, each.raw) for each in chosen)
        block = make_block(context, ledger, items)
        raw = encode(block)
        with stages.measure("decode block, items root, checks before the vote"):
            received = decode_block(raw)
            pending = parse_block(block_id_of(received.header), received, mempool.parse)
            check_items(pending, PendingChain(ledger, ()), context, SHARD, refuse)
        with stages.measure("chain store: block, fsync"):
            store.commit((Write("consensus.blocks", integer_key(ledger.height + 1), raw),))
        with stages.measure("execute, state root, receipts root"):
            execution = ledger.execute(block)
        with stages.measure("chain store: receipts and index, fsync"):
            store.commit(chain_store.execution_writes(execution))
        with stages.measure("apply, out of the mempool"):
            ledger.apply(execution)
            mempool.on_executed(pending.transactions, now_ms=NOW)
    return {stage: statistics.median(seconds) / block_size * 1e6 for stage, seconds in stages.seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--block", type=int, default=500, help="transfers a block")
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    random.seed(1)
    folder = Path(tempfile.mkdtemp(prefix="ostraka-bench-"))
    try:
        stages = run(options.accounts, options.block, options.blocks, folder)
    finally:
        shutil.rmtree(folder)
    if options.json:
        print(json.dumps({stage: round(microseconds, 2) for stage, microseconds in stages.items()}))
        return
    print(f"{options.accounts} accounts, {options.blocks} blocks of {options.block} transfers; CPU µs per transfer")
    for stage, microseconds in stages.items():
        print(f"{microseconds:8.2f}  {stage}")
    print(f"{sum(stages.values()):8.2f}  in all")


if __name__ == "__main__":
    main()
