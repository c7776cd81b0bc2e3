"""The state while one block is executed: reads go to the flat state, writes are held back until the block's end.

Each touched account, contract and lane is decoded once and encoded once. Nothing is written anywhere before `changes`
is asked for, so an execution that fails leaves no trace.
"""

from collections.abc import Callable, Iterator
from heapq import merge
from itertools import islice

import msgspec
from sortedcontainers import SortedSet

from contracts.port import Machine
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.codec import encode
from primitives.errors import InvariantViolated, invariant
from primitives.identifiers import (
    CallId,
    ChainId,
    Height,
    Milliseconds,
    Nonce,
    PublicKey,
    Sequence,
    ShardId,
    TransactionId,
)
from shards.calls.records import Contract, contract_key, decode_contract
from shards.commitments import Supply
from shards.genesis import ChainContext
from shards.lanes import LaneDraft, is_request
from shards.messages import Message
from shards.outcome import RunNote, SentBody
from shards.receipts import Receipt, SentMessage
from shards.state import (
    EMPTY_ACCOUNT,
    ORDERED,
    UNUSED_LANE,
    Account,
    Lane,
    OpenCall,
    account_key,
    decode_account,
    decode_lane,
    decode_open_call,
    lane_key,
    message_key,
    open_call_key,
)

StateReader = Callable[[bytes], bytes | None]


class AccountDraft:
    """An account that a block may change; `before` is its balance at the block's start."""

    __slots__ = ("balance", "before", "nonce", "open_calls")

    def __init__(self, record: Account) -> None:
        self.balance = self.before = int(unpack_amount(record.balance))
        self.nonce: int = record.nonce
        self.open_calls = record.open_calls


class ContractDraft:
    """A contract that a block may change; `before` is its balance at the block's start."""

    __slots__ = ("balance", "before", "open_calls", "record")

    def __init__(self, record: Contract, before: int | None = None) -> None:
        self.record = record
        self.balance = int(unpack_amount(record.balance))
        self.before = self.balance if before is None else before
        self.open_calls = record.open_calls


class WorkingState:
    """The drafts of one block, what it sent, its receipts, and where the money went."""

    def __init__(
        self,
        context: ChainContext,
        shard: ShardId,
        read: StateReader,
        supply: Supply,
        *,
        machine: Machine,
        stored_keys: SortedSet[bytes],
        total_supply: int,
        height: Height,
        time_ms: Milliseconds,
    ) -> None:
        self.context = context
        self.machine = machine
        self.total_supply = total_supply
        """Base units on the whole chain at genesis: no shard can ever hold more."""
        self.chain_id: ChainId = context.chain_id
        self.shard = shard
        self.height = height
        self.time_ms = time_ms
        self.sent: list[SentBody] = []
        self.receipts: list[bytes] = []
        self.notes: list[RunNote] = []
        self.held_fees: int = unpack_amount(supply.held_fees)
        self.escrow: int = unpack_amount(supply.escrow)
        self._supply = supply
        self._value_sent: int = unpack_amount(supply.sent)
        self._value_received: int = unpack_amount(supply.received)
        self._read = read
        self._accounts: dict[PublicKey, AccountDraft] = {}
        self._contracts: dict[str, ContractDraft] = {}
        self._lanes: dict[ShardId, LaneDraft] = {}
        self._stored_keys = stored_keys
        self._gone_keys: SortedSet[bytes] = SortedSet()
        """Of `stored_keys`, those that the block has deleted."""
        self._new_keys: SortedSet[bytes] = SortedSet()
        """Keys of namespaces that are read in order, which the block has added to the stored ones."""
        self._writes: dict[bytes, bytes | None] = {}

    def account(self, address: PublicKey) -> AccountDraft:
        """Draft of an account, empty if it does not exist yet."""
        draft = self._accounts.get(address)
        if draft is None:
            raw = self._read(account_key(address))
            draft = self._accounts[address] = AccountDraft(EMPTY_ACCOUNT if raw is None else decode_account(raw))
        return draft

    def contract(self, name: str) -> ContractDraft | None:
        """Draft of a contract, None when there is none of this name."""
        draft = self._contracts.get(name)
        if draft is None:
            raw = self._read(contract_key(name))
            if raw is None:
                return None
            draft = self._contracts[name] = ContractDraft(decode_contract(raw))
        return draft

    def existing_contract(self, name: str) -> ContractDraft:
        """Draft of a contract that is known to be there; contracts are never removed."""
        draft = self.contract(name)
        if draft is None:
            raise InvariantViolated(f"the contract {name} is in the state")
        return draft

    def add_contract(self, name: str, record: Contract) -> ContractDraft:
        """Deploy a contract; what it holds at once has been taken from someone."""
        draft = self._contracts[name] = ContractDraft(record, before=0)
        return draft

    def lane(self, peer: ShardId) -> LaneDraft:
        """Draft of the lane with a peer shard."""
        draft = self._lanes.get(peer)
        if draft is None:
            raw = self._read(lane_key(peer))
            record = UNUSED_LANE if raw is None else decode_lane(raw)
            draft = self._lanes[peer] = LaneDraft(self.chain_id, self.shard, peer, record)
        return draft

    def send(
        self, peer: ShardId, message: Message, call_id: CallId, trace_id: TransactionId, value: Amount
    ) -> SentMessage:
        """Append a message with its value to the stream towards `peer`; the caller has taken the value from someone."""
        body = self.lane(peer).send(message, call_id, trace_id, value)
        self._value_sent += value
        self._writes[message_key(peer, body.sequence)] = body.body
        return self.note_sent(body)

    def note_sent(self, body: SentBody) -> SentMessage:
        """Count a message among those that the block sent."""
        self.sent.append(body)
        return SentMessage(
            destination=body.destination, sequence=body.sequence, message_id=body.message_id, call_id=body.call_id
        )

    def receive(self, peer: ShardId, value: Amount) -> None:
        """Count value that arrived from `peer`; the caller gives it to someone."""
        lane = self.lane(peer)
        lane.value_received = Amount(lane.value_received + value)
        self._value_received += value

    def acknowledge(self, peer: ShardId, ack_next: Sequence) -> None:
        """Drop what `peer` has consumed from the state and free the window by the requests among it."""
        lane = self.lane(peer)
        for sequence in lane.acknowledge(ack_next):
            key = message_key(peer, Sequence(sequence))
            body = self.get(key)
            if body is None:
                raise InvariantViolated("a message that is not acknowledged is in the state")
            lane.open_requests -= is_request(body)
            self._writes[key] = None

    def holdings(self) -> int:
        """All the money that is on this shard now, whoever it belongs to."""
        supply = self._supply
        return unpack_amount(supply.genesis) - unpack_amount(supply.burnt) - self._value_sent + self._value_received

    def open_call(self, call_id: CallId) -> OpenCall | None:
        """A call that this shard sent and that is not answered."""
        raw = self.get(open_call_key(call_id))
        return None if raw is None else decode_open_call(raw)

    def put_open_call(self, call_id: CallId, call: OpenCall) -> None:
        """Remember a call until its reply comes."""
        self._writes[open_call_key(call_id)] = encode(call)

    def get(self, key: bytes) -> bytes | None:
        """Value of a raw key that is no account, contract or lane."""
        return self._writes[key] if key in self._writes else self._read(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set a raw key that is no account, contract or lane; None deletes it."""
        self._writes[key] = value
        if key[0] not in ORDERED:
            return
        if key in self._stored_keys:
            (self._gone_keys.add if value is None else self._gone_keys.discard)(key)
        else:
            (self._new_keys.discard if value is None else self._new_keys.add)(key)

    def keys_between(self, low: bytes, high: bytes, limit: int) -> list[bytes]:
        """Raw keys k of an ordered namespace with low < k < high, in byte order, at most `limit`."""
        new = self._new_keys.irange(low, high, inclusive=(False, False))
        return list(islice(merge(self._stored_between(low, high), new), max(limit, 0)))

    def _stored_between(self, low: bytes, high: bytes) -> Iterator[bytes]:
        """Stored keys that are still there."""
        at: bytes | None = low
        while at is not None:
            start, at = at, None
            for key in self._stored_keys.irange(start, high, inclusive=(False, False)):
                if key in self._gone_keys:
                    at = self._last_gone(key)
                    break
                yield key

    def _last_gone(self, key: bytes) -> bytes:
        """Last of the deleted stored keys that follow each other from `key` on; takes no step for each of them.

        What is gone is a part of what is stored, so where both have the same key equally far on, all between is gone.
        """
        stored, gone = self._stored_keys, self._gone_keys
        at, gone_at = stored.index(key), gone.index(key)
        known, beyond = 0, min(len(stored) - at, len(gone) - gone_at)
        step = 1
        while step < beyond and stored[at + step] == gone[gone_at + step]:
            known, step = step, 2 * step
        beyond = min(beyond, step)
        while beyond - known > 1:
            middle = (known + beyond) // 2
            if stored[at + middle] == gone[gone_at + middle]:
                known = middle
            else:
                beyond = middle
        return stored[at + known]

    def add_receipt(self, receipt: Receipt) -> None:
        """Add what became of the transaction or message just executed."""
        self.receipts.append(encode(receipt))

    def lanes(self) -> dict[ShardId, Lane]:
        """Records of the lanes that were touched, by peer."""
        return {peer: draft.record() for peer, draft in sorted(self._lanes.items())}

    def changes(self) -> dict[bytes, bytes | None]:
        """New value of every raw key that the block wrote, None where it is deleted."""
        changes: dict[bytes, bytes | None] = {}
        for address, draft in self._accounts.items():
            if draft.balance < 0:
                raise InvariantViolated("a balance is never negative")
            key = account_key(address)
            if draft.balance or draft.nonce or draft.open_calls:
                balance, nonce = pack_amount(Amount(draft.balance)), Nonce(draft.nonce)
                changes[key] = encode(Account(balance=balance, nonce=nonce, open_calls=draft.open_calls))
            else:
                changes[key] = None
        for name, contract in self._contracts.items():
            if contract.balance < 0 or contract.open_calls < 0:
                raise InvariantViolated("a contract's balance and open calls are never negative")
            balance = pack_amount(Amount(contract.balance))
            changes[contract_key(name)] = encode(
                msgspec.structs.replace(contract.record, balance=balance, open_calls=contract.open_calls)
            )
        changes.update(self._writes)
        return changes

    def supply(self) -> Supply:
        """Supply after the block; balances follow from accounts and contracts: the identity is a real check."""
        balances = unpack_amount(self._supply.balances)
        gained = sum(draft.balance - draft.before for draft in self._accounts.values())
        gained += sum(draft.balance - draft.before for draft in self._contracts.values())
        invariant(balances + gained >= 0, "balances are never negative in sum")
        before = self._supply
        return Supply(
            genesis=before.genesis,
            balances=pack_amount(Amount(balances + gained)),
            bonds=before.bonds,
            held_fees=pack_amount(Amount(self.held_fees)),
            escrow=pack_amount(Amount(self.escrow)),
            burnt=before.burnt,
            sent=pack_amount(Amount(self._value_sent)),
            received=pack_amount(Amount(self._value_received)),
        )
