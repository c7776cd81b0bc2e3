"""Accounts that tests act as."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from contracts.values import encode
from primitives.addresses import format_address
from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import Milliseconds, ShardId
from shards.gas import fee_of
from shards.transactions import (
    ContractCall,
    Operation,
    RemoteCall,
    RemoteTransfer,
    TopUp,
    Transaction,
    Transfer,
    parse_transaction,
    sign_transaction,
)
from testnet.development_keys import account_seed
from testnet.virtual.durations import Duration, milliseconds
from testnet.virtual.errors import Misuse, NotTaken
from testnet.virtual.scheme import SCHEME
from testnet.virtual.transactions import Tx

if TYPE_CHECKING:
    from testnet.virtual.contracts import Call
    from testnet.virtual.net import Net

CALL_GAS = 1_000_000
"""For a call when nothing else is said: half a block. What is not used comes back."""

VALID_MS = 10 * 60 * 1000
"""How long a transaction may wait for its block, as the command line has it."""

DEADLINE = "60s"
"""For a call or transfer to another shard, as contracts have it for theirs."""


class Account:
    """A key with money on every shard. As an argument of a contract's method it stands for its address."""

    def __init__(self, net: "Net", name: str) -> None:
        self._net = net
        self.name = name
        self._seed = account_seed(name)
        self.key = SCHEME.public_key(self._seed)
        self.address = format_address(self.key)

    def __str__(self) -> str:
        return self.address

    def __repr__(self) -> str:
        return f"<account {self.name} {self.address}>"

    def balance(self, shard: int = 0) -> int:
        """Base units on a shard (1 obol = 10**6)."""
        return self._net.balance(self.key, shard)

    def send(
        self,
        call: "Call",
        *,
        value: int = 0,
        gas: int = CALL_GAS,
        shard: int | None = None,
        deadline: Duration = DEADLINE,
    ) -> Tx:
        """Send a call: from the contract's own shard, or from `shard`, where the money then comes from.

        `value` in base units goes along. From another shard the call expires unless it begins within `deadline`.

        Raises:
            NotTaken: a validator refuses it.

        """
        __tracebackhide__ = True
        contract = call.contract
        source = contract.shard if shard is None else shard
        arguments, amount = encode(call.arguments), pack_amount(Amount(_amount(value)))
        operation: Operation
        if source == contract.shard:
            operation = ContractCall(contract.name, call.method, arguments, amount, gas)
        else:
            due = Milliseconds(self._net.now + milliseconds(deadline))
            destination = ShardId(contract.shard)
            operation = RemoteCall(destination, contract.name, call.method, arguments, amount, gas, due)
        return self.sign_and_send(source, operation)

    def transfer(
        self, to: "Account", amount: int, *, shard: int = 0, to_shard: int | None = None, deadline: Duration = DEADLINE
    ) -> Tx:
        """Move base units from this account on `shard` to another account there, or on `to_shard`."""
        __tracebackhide__ = True
        packed = pack_amount(Amount(_amount(amount)))
        operation: Operation = Transfer(to=to.key, amount=packed)
        if to_shard not in (None, shard):
            due = Milliseconds(self._net.now + milliseconds(deadline))
            operation = RemoteTransfer(ShardId(self._net.known_shard(to_shard or 0)), to.key, packed, due)
        return self.sign_and_send(shard, operation)

    def top_up(self, call_id: bytes, gas: int, *, shard: int = 0) -> Tx:
        """Give gas to a call that ran out of it while it resumed."""
        __tracebackhide__ = True
        return self.sign_and_send(shard, TopUp(call_id, gas))  # type: ignore[arg-type]  # plain bytes are an id

    def sign_and_send(self, shard: int, *operations: Operation, memo: bytes = b"") -> Tx:
        """Send any operations of the protocol (`shards.transactions`) as one transaction."""
        __tracebackhide__ = True
        net = self._net
        body = Transaction(
            version=1,
            chain_id=net.context.chain_id,
            shard=ShardId(net.known_shard(shard)),
            sender=self.key,
            nonce=net.next_nonce(self.key, shard),
            valid_until_ms=Milliseconds(net.now + VALID_MS),
            fee_limit=pack_amount(Amount(0)),
            operations=operations,
            memo=memo,
        )
        body = msgspec.structs.replace(body, fee_limit=pack_amount(fee_of(body)))
        try:
            signed = parse_transaction(sign_transaction(body, self._seed, SCHEME))
        except Refused as refused:
            raise NotTaken(refused.code, refused.detail) from None
        return net.submit(signed)


def _amount(amount: int) -> int:
    if type(amount) is not int or amount < 0:
        raise Misuse(f"{amount!r} is no amount: amounts are whole base units, 1 obol is 1_000_000 of them")
    return amount


def plain(argument: object) -> object:
    """An argument as contracts take it: accounts and contracts, in lists and dicts too, become their addresses."""
    if isinstance(argument, dict):
        return {plain(key): plain(value) for key, value in argument.items()}
    if isinstance(argument, Sequence) and not isinstance(argument, str | bytes | bytearray):
        return [plain(each) for each in argument]
    return str(argument) if hasattr(argument, "address") else argument
