"""What things cost. One unit of gas is one base unit of money; every number is fixed by the protocol.

A transaction pays for itself, for each operation and, for what crosses to another shard, in advance for the gas
spent there (`MESSAGE_GAS`, which travels as value) and for consuming the reply here (`REPLY_GAS`).
"""

from primitives.amounts import Amount
from shards.transactions import (
    Alone,
    ContractCall,
    Deploy,
    Operation,
    Remote,
    RemoteCall,
    RemoteTransfer,
    TopUp,
    Transaction,
    Transfer,
    Upgrade,
)

GAS_PRICE = 1
"""Base units per gas."""

TRANSACTION_GAS = 500
"""Decoding, the signature and the nonce: about 45 µs, the dearest part of a transfer."""

OPERATION_GAS = 100
"""Two accounts touched: about 15 µs with the state root."""

SEND_GAS = 200
"""Appending to a stream and keeping the message until it is acknowledged."""

MESSAGE_GAS = 300
"""Consuming one message at its destination; a contract's run there costs what it costs on top."""

REPLY_GAS = 200
"""Consuming its reply at home."""

PROOF_SIGNATURE_GAS = 450
"""Verifying one signature of a bundle's certificate, 41 µs: nobody pays for it, but a block has room for so many."""


CONTENT_BYTE_GAS = 1
"""Keeping and passing on a byte of source or arguments."""


def gas_at_home(body: Transaction) -> int:
    """Gas that including this transaction takes from the block it is in."""
    operations = body.operations
    gas = TRANSACTION_GAS + OPERATION_GAS * len(operations)
    for operation in operations:
        kind = type(operation)
        if kind is RemoteTransfer:
            gas += SEND_GAS
        elif kind is not Transfer:
            gas += _contract_gas(operation)
    return gas


def travelling_gas(operation: Operation) -> int:
    """Gas that leaves with the message of an operation, paid in advance."""
    if isinstance(operation, RemoteCall):
        return operation.gas
    return MESSAGE_GAS if isinstance(operation, RemoteTransfer) else 0


def prepaid_gas(body: Transaction) -> int:
    """Of `gas_at_home`, what a contract's run is given; what it does not use comes back."""
    return sum(operation.gas for operation in body.operations if isinstance(operation, Alone))


def fee_of(body: Transaction) -> Amount:
    """Everything the sender pays beside the amounts, in base units: gas here, there and for the replies."""
    away = sum(travelling_gas(operation) + REPLY_GAS for operation in body.operations if isinstance(operation, Remote))
    return Amount(GAS_PRICE * (gas_at_home(body) + away))


def _contract_gas(operation: Operation) -> int:
    """Gas of an operation that deploys, calls or feeds a contract, beside `OPERATION_GAS`."""
    match operation:
        case Deploy() | Upgrade():
            return operation.gas + CONTENT_BYTE_GAS * (len(operation.source.encode()) + len(operation.arguments))
        case ContractCall():
            return operation.gas + CONTENT_BYTE_GAS * len(operation.arguments)
        case RemoteCall():
            return SEND_GAS + CONTENT_BYTE_GAS * len(operation.arguments)
        case TopUp():
            return operation.gas
        case _:
            return 0
