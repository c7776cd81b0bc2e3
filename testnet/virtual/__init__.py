"""A testnet in virtual time, driven step by step by a program: `Net` and what it hands out."""

from testnet.simulator.faults import Fault, FaultKind
from testnet.virtual.accounts import Account
from testnet.virtual.contracts import Call, Contract
from testnet.virtual.errors import (
    InvariantBroken,
    Misuse,
    NotSettled,
    NotTaken,
    TransactionFailed,
    Unexpected,
)
from testnet.virtual.net import Net
from testnet.virtual.snapshots import Snapshot
from testnet.virtual.transactions import Tx

__all__ = [
    "Account",
    "Call",
    "Contract",
    "Fault",
    "FaultKind",
    "InvariantBroken",
    "Misuse",
    "Net",
    "NotSettled",
    "NotTaken",
    "Snapshot",
    "TransactionFailed",
    "Tx",
    "Unexpected",
]
