"""Transactions: `signature(64) ‖ body`. The raw bytes are kept and never re-encoded; their hash is the id.

Transfers, and calls to other shards, stand together in one transaction and happen all or none. What runs a contract
on this shard (`Deploy`, `Upgrade`, `ContractCall`, `TopUp`) stands alone in its transaction: it is atomic by itself.
"""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from contracts.limits import MAX_CALL_GAS, MAX_SOURCE_BYTES
from contracts.outcomes import NameField, ValueField, is_contract_name
from primitives.amounts import MAX_SUPPLY, Amount, AmountField, unpack_amount
from primitives.codec import Decoder, Record, encode
from primitives.errors import Refused
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import (
    CallIdField,
    ChainIdField,
    MillisecondsField,
    NonceField,
    PublicKey,
    PublicKeyField,
    SecretSeed,
    ShardId,
    ShardIdField,
    Signature,
    TransactionId,
)
from primitives.signatures import SignatureScheme
from shards.limits import MAX_MEMO_BYTES, MAX_OPERATIONS, MAX_TRANSACTION_BYTES

SIGNATURE_BYTES = 64


class Transfer(Record, tag=1):
    """Move `amount` to an account of this shard."""

    to: PublicKeyField
    amount: AmountField


class RemoteTransfer(Record, tag=2):
    """Move `amount` to an account of another shard; it comes back if it is not consumed by `deadline_ms` there."""

    destination: ShardIdField
    to: PublicKeyField
    amount: AmountField
    deadline_ms: MillisecondsField


GasField = Annotated[int, Meta(ge=0, le=MAX_CALL_GAS)]


class Deploy(Record, tag=3):
    """Deploy a contract under a name that is free on this shard, and run its `init` when it has one."""

    name: NameField
    source: Annotated[str, Meta(min_length=1, max_length=MAX_SOURCE_BYTES)]
    owner: Annotated[bytes, Meta(max_length=32)]
    """The account that may upgrade it; empty: nobody ever."""
    arguments: ValueField
    """An encoded list, for `init`."""
    amount: AmountField
    """What the contract begins with, and `init`'s `msg.value`."""
    gas: GasField
    """For compiling and `init`; what is left comes back."""


class Upgrade(Record, tag=4):
    """Replace a contract's code, by its owner, and run the new code's `migrate` when it has one."""

    name: NameField
    source: Annotated[str, Meta(min_length=1, max_length=MAX_SOURCE_BYTES)]
    arguments: ValueField
    gas: GasField


class ContractCall(Record, tag=5):
    """Call a method of a contract of this shard; its first stretch runs in this transaction."""

    contract: NameField
    method: NameField
    arguments: ValueField
    amount: AmountField
    gas: GasField
    """For the whole call, the calls it makes included; what is left at its end comes back."""


class RemoteCall(Record, tag=6):
    """Call a method of a contract of another shard; value and gas come back as `RemoteTransfer`'s amount does."""

    destination: ShardIdField
    contract: NameField
    method: NameField
    arguments: ValueField
    amount: AmountField
    gas: GasField
    deadline_ms: MillisecondsField


class TopUp(Record, tag=7):
    """Give gas to a call of this shard that ran out of it while it resumed; anyone may."""

    call_id: CallIdField
    gas: GasField


Remote = RemoteTransfer | RemoteCall
Alone = Deploy | Upgrade | ContractCall | TopUp
Operation = Transfer | RemoteTransfer | Deploy | Upgrade | ContractCall | RemoteCall | TopUp


class Transaction(Record):
    """What the sender signs (behind `Domain.TRANSACTION`). Its operations happen all or none."""

    version: Annotated[int, Meta(ge=1, le=1)]
    chain_id: ChainIdField
    shard: ShardIdField
    sender: PublicKeyField
    nonce: NonceField
    valid_until_ms: MillisecondsField
    fee_limit: AmountField
    operations: Annotated[tuple[Operation, ...], Meta(min_length=1, max_length=MAX_OPERATIONS)]
    memo: Annotated[bytes, Meta(max_length=MAX_MEMO_BYTES)]


_decoder = Decoder(Transaction, max_bytes=MAX_TRANSACTION_BYTES - SIGNATURE_BYTES, name="transaction")


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A parsed transaction with the bytes it came in. Its signature is not checked by parsing."""

    raw: bytes
    id: TransactionId
    body: Transaction

    def signature_item(self) -> tuple[PublicKey, bytes, Signature]:
        """What `verify_many` takes."""
        return self.body.sender, Domain.TRANSACTION + self.raw[SIGNATURE_BYTES:], Signature(self.raw[:SIGNATURE_BYTES])


def transaction_id(raw: bytes) -> TransactionId:
    """Name of a signed transaction: the hash of its full bytes, signature included."""
    return TransactionId(tagged_hash(Domain.TRANSACTION, raw))


def parse_transaction(raw: bytes, known_id: TransactionId | None = None) -> SignedTransaction:
    """Decode and check everything that needs neither a chain nor a state; `known_id` saves hashing `raw` again.

    Raises:
        Refused: `too_large`, `malformed`, `not_canonical`, `bad_amount`, `not_alone` or `bad_name`.

    """
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise Refused("too_large", f"transaction: {len(raw)} bytes, limit {MAX_TRANSACTION_BYTES}")
    if len(raw) <= SIGNATURE_BYTES:
        raise Refused("malformed", f"transaction: {len(raw)} bytes; it is a 64-byte signature and a body")
    body = _decoder.decode(raw[SIGNATURE_BYTES:])
    for operation in body.operations:
        check_operation(operation, alone=len(body.operations) == 1)
    return SignedTransaction(raw=raw, id=known_id or transaction_id(raw), body=body)


def check_operation(operation: Operation, *, alone: bool) -> None:
    """Check what the types cannot.

    Raises:
        Refused: `bad_amount`, `not_alone` or `bad_name`.

    """
    least = 1 if isinstance(operation, Transfer | RemoteTransfer) else 0
    if not least <= amount_of(operation) <= MAX_SUPPLY:
        raise Refused("bad_amount", f"every amount must be at least {least} and at most the largest supply")
    if isinstance(operation, Alone) and not alone:
        raise Refused("not_alone", f"a {type(operation).__name__} stands alone in its transaction")
    if isinstance(operation, Deploy):
        if not is_contract_name(operation.name):
            raise Refused("bad_name", "a contract's name is a small letter, then up to 25 of a-z, 0-9, _ and -")
        if len(operation.owner) not in (0, 32):
            raise Refused("malformed", "an owner is an account's 32 bytes, or empty")


def amount_of(operation: Operation) -> Amount:
    """Base units that an operation moves, gas not counted."""
    return Amount(0) if isinstance(operation, Upgrade | TopUp) else unpack_amount(operation.amount)


def destination_of(operation: Operation) -> ShardId | None:
    """The other shard that an operation sends a message to."""
    return operation.destination if isinstance(operation, Remote) else None


def sign_transaction(body: Transaction, seed: SecretSeed, scheme: SignatureScheme) -> bytes:
    """Signed wire form of `body`."""
    encoded = encode(body)
    return scheme.sign(seed, Domain.TRANSACTION + encoded) + encoded


def total_amount(body: Transaction) -> Amount:
    """Sum that the operations take from the sender, fees not counted."""
    return Amount(sum(amount_of(operation) for operation in body.operations))
