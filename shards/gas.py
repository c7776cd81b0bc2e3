"""What things cost. One unit of gas is one base unit of money; every number is fixed by the protocol.

A transaction pays for itself, for each operation and, for what crosses to another shard, in advance for the gas
spent there (`MESSAGE_GAS`, which travels as value) and for consuming the reply here (`REPLY_GAS`).
"""

from primitives.amounts import Amount
from shards.transactions import RemoteTransfer, Transaction

GAS_PRICE = 1
"""Base units per gas."""

TRANSACTION_GAS = 500
"""Decoding, the signature and the nonce: about 45 µs, the dearest part of a transfer."""

OPERATION_GAS = 100
"""Two accounts touched: about 15 µs with the state root."""

SEND_GAS = 200
"""Appending to a stream and keeping the message until it is acknowledged."""

MESSAGE_GAS = 300
"""Consuming one message without a method at its destination."""

REPLY_GAS = 200
"""Consuming its reply at home."""

PROOF_SIGNATURE_GAS = 450
"""Verifying one signature of a bundle's certificate, 41 µs: nobody pays for it, but a block has room for so many."""


def gas_at_home(body: Transaction) -> int:
    """Gas that including this transaction takes from the block it is in."""
    return TRANSACTION_GAS + OPERATION_GAS * len(body.operations) + SEND_GAS * _messages(body)


def fee_of(body: Transaction) -> Amount:
    """Everything the sender pays beside the amounts, in base units: gas here, there and for the replies."""
    return Amount(GAS_PRICE * (gas_at_home(body) + (MESSAGE_GAS + REPLY_GAS) * _messages(body)))


def _messages(body: Transaction) -> int:
    """How many messages the operations send; on the path of every transaction, several times."""
    return [type(operation) for operation in body.operations].count(RemoteTransfer)
