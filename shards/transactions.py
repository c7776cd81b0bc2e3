"""Transactions: `signature(64) ‖ body`. The raw bytes are kept and never re-encoded; their hash is the id."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from primitives.amounts import MAX_SUPPLY, Amount, AmountField, unpack_amount
from primitives.codec import Decoder, Record, encode
from primitives.errors import Refused
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import (
    ChainIdField,
    MillisecondsField,
    NonceField,
    PublicKey,
    PublicKeyField,
    SecretSeed,
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


Operation = Transfer | RemoteTransfer


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
        Refused: `too_large`, `malformed`, `not_canonical` or `bad_amount`.

    """
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise Refused("too_large", f"transaction: {len(raw)} bytes, limit {MAX_TRANSACTION_BYTES}")
    if len(raw) <= SIGNATURE_BYTES:
        raise Refused("malformed", f"transaction: {len(raw)} bytes; it is a 64-byte signature and a body")
    body = _decoder.decode(raw[SIGNATURE_BYTES:])
    for operation in body.operations:
        if not 0 < unpack_amount(operation.amount) <= MAX_SUPPLY:
            raise Refused("bad_amount", "every amount must be more than zero and at most the largest supply")
    return SignedTransaction(raw=raw, id=known_id or transaction_id(raw), body=body)


def sign_transaction(body: Transaction, seed: SecretSeed, scheme: SignatureScheme) -> bytes:
    """Signed wire form of `body`."""
    encoded = encode(body)
    return scheme.sign(seed, Domain.TRANSACTION + encoded) + encoded


def total_amount(body: Transaction) -> Amount:
    """Sum that the operations take from the sender, fees not counted."""
    return Amount(sum(unpack_amount(operation.amount) for operation in body.operations))
