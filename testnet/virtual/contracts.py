"""Deployed contracts as tests hold them: `shop.buy("owl")` is a call, `shop.owner_of("owl")` what a view says."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from contracts.outcomes import Method, is_contract_name
from contracts.values import Value, decode, encode
from primitives.amounts import unpack_amount
from primitives.identifiers import Hash
from shards.calls.records import Contract as Record
from shards.calls.records import code_key, contract_key, decode_code, decode_contract, storage_key
from testnet.virtual.accounts import plain
from testnet.virtual.errors import Misuse
from testnet.virtual.views import run_view

if TYPE_CHECKING:
    from testnet.virtual.net import Net


@dataclass(frozen=True, slots=True)
class Call:
    """A call that nobody has sent yet."""

    contract: "Contract"
    method: str
    arguments: list[Any]

    def __str__(self) -> str:
        return f"{self.contract.name}.{self.method}({', '.join(map(repr, self.arguments))})"


class Contract:
    """A contract by name and shard. Its methods are attributes; `method(name)` reaches those whose names are taken."""

    def __init__(self, net: "Net", name: str, shard: int) -> None:
        self._net = net
        self.name = name
        self.shard = shard

    @property
    def address(self) -> str:
        """As `msg.sender` shows it."""
        return f"{self.name}@{self.shard}"

    def __str__(self) -> str:
        return self.address

    def __repr__(self) -> str:
        return f"<contract {self.address}>"

    @property
    def balance(self) -> int:
        """Base units that it holds."""
        return unpack_amount(self._record().balance)

    def storage(self, key: str) -> Value:
        """A value of its storage; None when there is none."""
        raw = self._net.stored(self.shard, storage_key(self.name, key.encode()))
        return None if raw is None else decode(raw)

    def methods(self) -> dict[str, Method]:
        """Its public functions by name, those of the code that it has now."""
        raw = self._net.stored(self.shard, code_key(Hash(self._record().code_hash)))
        return {} if raw is None else {method.name: method for method in decode_code(raw).methods}

    def method(self, name: str) -> Callable[..., Any]:
        """What `contract.name` is: a function that makes a call, or, of a view, that returns its value."""
        method = self.methods().get(name)
        if method is None:
            known = ", ".join(self.methods()) or "none"
            raise Misuse(f"{self.address} has no method {name!r}; its methods are {known}")
        if method.view:
            return lambda *arguments: run_view(self._net.ledger(self.shard), self, name, checked(arguments))
        return lambda *arguments: Call(self, name, checked(arguments))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.method(name)
        except Misuse as misuse:
            raise AttributeError(str(misuse)) from None

    @property
    def view(self) -> "Views":
        """Its views, for those who want to see in the test that nothing is sent."""
        return Views(self)

    def _record(self) -> Record:
        raw = self._net.stored(self.shard, contract_key(self.name))
        if raw is None:
            raise Misuse(f"there is no contract {self.name} on shard {self.shard} (any more)")
        return decode_contract(raw)


class Views:
    """The views of a contract as attributes."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def __getattr__(self, name: str) -> Callable[..., Value]:
        method = self._contract.methods().get(name)
        if method is None or not method.view:
            raise AttributeError(f"{self._contract.address} has no view {name!r}; mark a method that only reads @view")
        return self._contract.method(name)


def checked(arguments: tuple[object, ...]) -> list[Any]:
    """Arguments as contracts take them.

    Raises:
        BadValue: one of them is no plain data; the text says which kind to use instead.

    """
    listed = [plain(argument) for argument in arguments]
    encode(listed)
    return listed


def find_source(source: str | Path | ModuleType, folders: tuple[Path, ...]) -> tuple[str, str]:
    """(source text, file stem) of what `deploy` was given: a path, a module, or the text itself.

    A relative path is looked for in `folders`, and in a folder `contracts` of each.

    Raises:
        Misuse: there is no such file.

    """
    if isinstance(source, ModuleType):
        source = Path(str(source.__file__))
    if isinstance(source, str) and "\n" in source:
        return source, ""
    path = Path(source)
    places = (
        [path] if path.is_absolute() else [at / path for folder in folders for at in (folder, folder / "contracts")]
    )
    for place in places:
        if place.is_file():
            return place.read_text(encoding="utf-8"), place.stem
    raise Misuse(f"there is no contract file {source}; looked for {', '.join(map(str, places))}")


def name_for(stem: str) -> str:
    """A contract's name from its file's.

    Raises:
        Misuse: none can be made of it.

    """
    name = re.sub(r"[^a-z0-9_-]", "-", stem.lower())
    if not is_contract_name(name):
        raise Misuse(f"say under which name to deploy it, like name='shop'; {stem!r} gives none")
    return name
