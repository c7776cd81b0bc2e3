"""The ledger of one shard: the flat state, the state tree over it, and the commitment to the latest block.

`execute` may run in a worker thread: it reads the flat state and brings the Merkle tree forward. `apply` runs in the
thread that owns the ledger, swaps the changes in and remembers them for the next flush; until then every reader sees
the state before the block. One block at a time, heights without a gap. A block that was executed but not applied (or
failed half-way) is forgotten by executing again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec
from sortedcontainers import SortedSet

from consensus.block import Block, block_id_of
from contracts.port import Machine
from primitives import mmr
from primitives.codec import encode
from primitives.errors import InvariantViolated, Refused, invariant
from primitives.identifiers import BlockId, Hash, Height, Milliseconds, PublicKey, ShardId
from primitives.merkle import leaf_hash, tree_root
from primitives.state_tree import StateTree, Undo, value_hash
from shards.calls.records import QUEUE_KEY, TIMERS, decode_queue, read_timer
from shards.commitments import Commitment, commitment_hash
from shards.execution import execute_items
from shards.genesis import ChainContext
from shards.genesis_state import genesis_entries, genesis_money
from shards.lanes import head_of, unused_head
from shards.outcome import Execution
from shards.state import (
    CHAIN_KEY,
    EMPTY_ACCOUNT,
    ORDERED,
    UNUSED_LANE,
    Account,
    ChainRecord,
    Lane,
    Namespace,
    account_key,
    decode_account,
    decode_chain_record,
    decode_lane,
    lane_key,
    path_of_key,
)
from shards.streams import StreamHead, head_leaf
from shards.working_state import WorkingState

PATH_CACHE_KEYS = 2**18
"""Paths of accounts kept (about 40 MB when full, then begun anew): hashing one again costs a tenth of a transfer."""


_UNUSED = encode(UNUSED_LANE)


@dataclass(frozen=True, slots=True)
class StateFlush:
    """All changes since the last flush; written in one commit they bring the stored state to `height`."""

    height: Height
    changes: dict[bytes, bytes | None]
    """By raw key, in order of keys; None deletes."""


@dataclass(frozen=True, slots=True)
class _Executed:
    """A block that is executed and waits to be applied."""

    execution: Execution
    chain: ChainRecord
    leaves: tuple[Hash, ...]
    undo: Undo


class Ledger:
    """The replicated state of one shard; a new one is at its genesis (height 0, nothing signed)."""

    def __init__(
        self,
        context: ChainContext,
        shard: ShardId,
        entries: Iterable[tuple[bytes, bytes]] | None = None,
        *,
        machine: Machine,
    ) -> None:
        self.machine = machine
        self.version = 0
        """Odd while `apply` changes the state: a reader in another thread compares it before and after, and repeats."""
        self._context = context
        self._shard = shard
        self._total_supply = sum(genesis_money(context, ShardId(each)) for each in range(context.shard_count))
        self._flat = dict(genesis_entries(context, shard) if entries is None else entries)
        self._ordered: SortedSet[bytes] = SortedSet(key for key in self._flat if key[0] in ORDERED)
        self._paths: dict[bytes, bytes] = {}
        self._tree = StateTree()
        self._tree.load(sorted((path_of_key(key), value_hash(value)) for key, value in self._flat.items()))
        self._chain = decode_chain_record(self._flat[CHAIN_KEY])
        self._heads = tuple(
            unused_head(shard, peer) if peer == shard else head_of(self.lane(peer), shard, peer)
            for peer in map(ShardId, range(context.shard_count))
        )
        self._leaves = tuple(head_leaf(context.chain_id, head) for head in self._heads)
        self._commitment = self._commit(self._chain, self._leaves)
        self._executed: _Executed | None = None
        self._settled = False
        """Whether the state is where the machine's runs have left it: everything that was executed was applied."""
        self._unflushed: dict[bytes, bytes | None] = {}

    @classmethod
    def restore(
        cls, context: ChainContext, shard: ShardId, entries: Iterable[tuple[bytes, bytes]], *, machine: Machine
    ) -> "Ledger":
        """Ledger with a state read back from a store; compare its `commitment` with the certified one of its height.

        Raises:
            Refused: `corrupt_state`: the entries are not a whole, readable state.

        """
        try:
            return cls(context, shard, entries, machine=machine)
        except (msgspec.DecodeError, LookupError, InvariantViolated) as error:
            raise Refused("corrupt_state", f"the stored state cannot be read ({error}); restore or sync it") from error

    @property
    def height(self) -> Height:
        """Height of the latest applied block."""
        return self._chain.height

    @property
    def block_id(self) -> BlockId:
        """Name of the latest applied block."""
        return self._chain.block_id

    @property
    def time_ms(self) -> Milliseconds:
        """Time of the latest applied block."""
        return self._chain.time_ms

    @property
    def commitment(self) -> Commitment:
        """Commitment to the latest applied block; the genesis's is the same for everybody and never signed."""
        return self._commitment

    @property
    def heads(self) -> tuple[StreamHead, ...]:
        """Heads that the commitment's outbox root covers, in order of shard ids."""
        return self._heads

    def account(self, address: PublicKey) -> Account:
        """An account; one that does not exist is empty."""
        raw = self._flat.get(account_key(address))
        return EMPTY_ACCOUNT if raw is None else decode_account(raw)

    def lane(self, peer: ShardId) -> Lane:
        """The lane with a peer shard."""
        raw = self._flat.get(lane_key(peer))
        return UNUSED_LANE if raw is None else decode_lane(raw)

    def get(self, key: bytes) -> bytes | None:
        """Value of a raw state key (`shards.state`)."""
        return self._flat.get(key)

    def keys_between(self, low: bytes, high: bytes, limit: int) -> list[bytes]:
        """Raw keys k with low < k < high in one of the namespaces that are kept in order, at most `limit`."""
        return list(islice(self._ordered.irange(low, high, inclusive=(False, False)), limit))

    def next_due_ms(self) -> int | None:
        """Block time of the next timer, None when there is none."""
        first = next(iter(self._ordered.irange(TIMERS, TIMERS + b"\xff" * 9)), None)
        return read_timer(first)[0] if first is not None else None

    def has_local_work(self, time_ms: int) -> bool:
        """Whether a block of this time has something to execute before its items: a queued message, a due timer."""
        raw = self._flat.get(QUEUE_KEY)
        if raw is not None:
            queue = decode_queue(raw)
            if queue.first < queue.end:
                return True
        due = self.next_due_ms()
        return due is not None and due <= time_ms

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """All raw keys and values, in no particular order."""
        return iter(self._flat.items())

    def prove(self, key: bytes) -> bytes:
        """Proof of presence or absence of a raw key under the commitment's state root.

        Only while nothing is executed but not applied, on the thread that executes.
        """
        invariant(self._executed is None, "a proof is for the state of the latest applied block")
        return self._tree.prove(path_of_key(key))

    def execute(self, block: Block) -> Execution:
        """Execute the finalized block of the next height; pure on what readers see.

        Raises:
            InvariantViolated: the block is not the next, or holds what the checks before the vote refuse.

        """
        if not self._settled:
            self.machine.forget()
        self._settled = False
        if self._executed is not None:
            self._tree.revert(self._executed.undo)
            self._executed = None
        header = block.header
        invariant(
            header.shard == self._shard and header.height == self.height + 1 and header.parent == self.block_id,
            "blocks are executed one after the other",
        )
        state = WorkingState(
            self._context,
            self._shard,
            self._flat.get,
            self._chain.supply,
            machine=self.machine,
            stored_keys=self._ordered,
            total_supply=self._total_supply,
            height=header.height,
            time_ms=header.time_ms,
        )
        execute_items(state, block)
        self._executed = self._conclude(block, state)
        return self._executed.execution

    def apply(self, execution: Execution) -> None:
        """Make the block that was executed last the latest one."""
        executed = self._executed
        if executed is None or executed.execution.commitment != execution.commitment:
            raise InvariantViolated("what is applied is the block that was executed last")
        self._executed = None
        self._settled = True
        self.version += 1
        for key, value in execution.changes.items():
            if key[0] in ORDERED:
                self._order(key, present=value is not None)
            if value is None:
                self._flat.pop(key, None)
            else:
                self._flat[key] = value
        self._unflushed.update(execution.changes)
        self._chain = executed.chain
        self._heads = execution.heads
        self._leaves = executed.leaves
        self._commitment = execution.commitment
        self.version += 1

    def take_flush(self) -> StateFlush | None:
        """Changes since the last call for the state store, None when there are none; the caller makes them durable."""
        if not self._unflushed:
            return None
        changes, self._unflushed = self._unflushed, {}
        return StateFlush(self.height, dict(sorted(changes.items())))

    def _conclude(self, block: Block, state: WorkingState) -> _Executed:
        """Bring the tree to the block's end and commit to it."""
        header = block.header
        heads, leaves = list(self._heads), list(self._leaves)
        changes = state.changes()
        for peer, lane in state.lanes().items():
            record = encode(lane)
            if self._flat.get(lane_key(peer), _UNUSED) != record:
                changes[lane_key(peer)] = record
                heads[peer] = head_of(lane, self._shard, peer)
                leaves[peer] = head_leaf(self._context.chain_id, heads[peer])
        history, history_nodes = mmr.append(self._history(), commitment_hash(self._commitment))
        chain = ChainRecord(
            height=header.height,
            block_id=block_id_of(header),
            time_ms=header.time_ms,
            receipt_count=len(state.receipts),
            receipts_root=tree_root([leaf_hash(receipt) for receipt in state.receipts]),
            history=history.hashes,
            supply=state.supply(),
        )
        changes[CHAIN_KEY] = encode(chain)
        invariant(chain.supply.holds(), "no money is made or lost")
        undo = self._tree.apply(self._updates(changes))
        execution = Execution(
            commitment=self._commit(chain, tuple(leaves)),
            changes=changes,
            receipts=tuple(state.receipts),
            heads=tuple(heads),
            sent=tuple(state.sent),
            history_nodes=history_nodes,
            notes=tuple(state.notes),
        )
        return _Executed(execution, chain, tuple(leaves), undo)

    def _order(self, key: bytes, *, present: bool) -> None:
        if present:
            self._ordered.add(key)
        else:
            self._ordered.discard(key)

    def _history(self) -> mmr.Peaks:
        """Peaks over the hashes of all commitments before the latest one."""
        return mmr.Peaks(self._chain.height, self._chain.history)

    def _updates(self, changes: dict[bytes, bytes | None]) -> dict[bytes, bytes | None]:
        """The changes by path, values hashed."""
        paths = self._paths
        if len(paths) > PATH_CACHE_KEYS:
            paths.clear()
        updates: dict[bytes, bytes | None] = {}
        for key, value in changes.items():
            path = paths.get(key)
            if path is None:
                path = path_of_key(key)
                if key[0] == Namespace.ACCOUNT:
                    paths[key] = path
            updates[path] = None if value is None else value_hash(value)
        return updates

    def _commit(self, chain: ChainRecord, leaves: tuple[Hash, ...]) -> Commitment:
        """Commitment to a chain record and the tree's and streams' state that goes with it."""
        committee = self._context.committee(self._shard)
        return Commitment(
            version=1,
            chain_id=self._context.chain_id,
            shard=self._shard,
            epoch=committee.epoch,
            height=chain.height,
            block_id=chain.block_id,
            time_ms=chain.time_ms,
            state_root=self._tree.root,
            receipt_count=chain.receipt_count,
            receipts_root=chain.receipts_root,
            outbox_root=tree_root(leaves),
            history_root=mmr.Peaks(chain.height, chain.history).root(),
            validator_set_hash=committee.hash,
            next_validator_set_hash=committee.hash,
            supply=chain.supply,
        )
