"""`ostraka.toml`: what a local testnet is made of, checked in full before anything is created.

The types below are the only definition: they check what is read, they hold the defaults, and the JSON Schema for
editors (`ostraka.schema.json` beside this module) is written from them by `python -m testnet.manifest`. An unknown key
or a bad value is refused with the path of the key, what is allowed there and, for a mistyped name, the nearest one.
"""

import difflib
import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec
from msgspec import Meta

from consensus.pacing import Rules
from primitives.amounts import Amount, parse_obol
from primitives.errors import Refused
from primitives.identifiers import MAX_SHARDS, MAX_VALIDATORS
from testnet.toml_file import read_toml

MANIFEST_NAME: Final = "ostraka.toml"
SCHEMA_PATH: Final = Path(__file__).with_name("ostraka.schema.json")

MAX_MANIFEST_BYTES = 1024 * 1024
"""A manifest of 10,000 named accounts has 300 kB."""

MAX_RELAYS = 16
"""Relays share nothing and one is enough; more than a few only show that duplicates do no harm."""

MAX_ACCOUNTS = 10_000
"""Named accounts, each in the genesis of every shard."""

MAX_PROCESSES = 1024
"""Validators and relays of one testnet: each is a process of this machine with its own two sockets."""

FAUCET: Final = "faucet"
"""Name of the account that `ostraka faucet` pays from."""

Balance = Annotated[int, Meta(ge=0, le=10**15)] | Annotated[str, Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,6})?$")]
"""Obols: a whole number, or a text like "0.5" with at most six decimals."""

ShardNumber = Annotated[int, Meta(ge=0, lt=MAX_SHARDS)]
Port = Annotated[int, Meta(ge=0, le=65535)]
AccountName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the manifest's tables."""


class Ports(_Table, frozen=True):
    """The first port of each kind; validators take consecutive ones from s0/v0 on, shard by shard."""

    api: Annotated[Port, Meta(description="First port of the HTTP APIs; 0 lets the system choose free ones.")] = 0
    links: Annotated[Port, Meta(description="First port of the validator links; 0 lets the system choose.")] = 0


_PACE = Rules()


class ConsensusSettings(_Table, frozen=True):
    """Pace of every shard, in milliseconds; `consensus.pacing` says what each number does."""

    min_block_interval_ms: Annotated[
        int, Meta(ge=1, le=60_000, description="Never propose blocks more often than this; 1 to 60000.")
    ] = _PACE.min_block_interval_ms
    idle_interval_ms: Annotated[
        int, Meta(ge=100, le=600_000, description="Propose an empty block after this long without one; 100 to 600000.")
    ] = _PACE.idle_interval_ms
    base_timeout_ms: Annotated[
        int, Meta(ge=10, le=60_000, description="Give up on a leader after this long, at first; 10 to 60000.")
    ] = _PACE.base_timeout_ms
    max_timeout_ms: Annotated[
        int, Meta(ge=10, le=600_000, description="Timeouts that grow stop growing here; base_timeout_ms to 600000.")
    ] = _PACE.max_timeout_ms

    def rules(self) -> Rules:
        """The same as consensus takes it; what is not in the manifest keeps its default."""
        return Rules(**msgspec.structs.asdict(self))


class Manifest(_Table, frozen=True):
    """A local testnet. Every key may be left out."""

    name: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of the chain: letters, digits, . _ -"),
    ] = "local"
    shards: Annotated[int, Meta(ge=1, le=MAX_SHARDS, description=f"Number of shards, 1 to {MAX_SHARDS}.")] = 3
    validators: Annotated[
        int, Meta(ge=1, le=MAX_VALIDATORS, description=f"Validators of each shard, 1 to {MAX_VALIDATORS}.")
    ] = 4
    relays: Annotated[int, Meta(ge=0, le=MAX_RELAYS, description=f"Relay processes, 0 to {MAX_RELAYS}.")] = 1
    links: Annotated[
        Literal["all"] | Annotated[tuple[tuple[ShardNumber, ShardNumber], ...], Meta(max_length=MAX_SHARDS**2)],
        Meta(description='Pairs of shards that relays serve, in both directions, like [[0, 1], [1, 2]], or "all".'),
    ] = "all"
    home: Annotated[
        str, Meta(min_length=1, max_length=1024, description="Folder of the testnet, relative to this file.")
    ] = ".ostraka"
    faucet: Annotated[Balance, Meta(description="Obols of the faucet's account on every shard.")] = 1_000_000_000
    accounts: Annotated[
        dict[AccountName, Balance],
        Meta(max_length=MAX_ACCOUNTS, description="Names and their obols on every shard; their keys are PUBLIC."),
    ] = msgspec.field(default_factory=lambda: dict.fromkeys(("alice", "bob", "carol", "dave", "erin"), 1_000_000))
    ports: Annotated[Ports, Meta(description="Fixed ports, if any.")] = Ports()
    consensus: Annotated[ConsensusSettings, Meta(description="Pace of every shard.")] = ConsensusSettings()

    def links_of(self) -> tuple[tuple[int, int], ...]:
        """Pairs of shards that relays serve, lower number first, each once."""
        if self.links == "all":
            return tuple((low, high) for high in range(self.shards) for low in range(high))
        return tuple(sorted({(min(pair), max(pair)) for pair in self.links}))


def balance_of(balance: int | str) -> Amount:
    """Base units of a balance as the manifest writes it."""
    return parse_obol(str(balance))


def load_manifest(path: Path, overrides: dict[str, int] | None = None) -> Manifest:
    """Read a manifest file; `overrides` replace top-level numbers (what the command line says).

    Raises:
        Refused: `no_manifest` or `bad_manifest`, naming the file, the key, what is allowed and what was found.

    """
    table = read_toml(path, "manifest", MAX_MANIFEST_BYTES)
    return parse_manifest({**table, **(overrides or {})}, str(path))


def parse_manifest(table: dict[str, Any], source: str) -> Manifest:
    """Check a manifest's content; `source` names it in errors.

    Raises:
        Refused: `bad_manifest`.

    """
    _refuse_unknown_keys(table, Manifest, source, "")
    _refuse_bad_accounts(table.get("accounts"), source)
    try:
        manifest = msgspec.convert(table, Manifest)
    except msgspec.ValidationError as error:
        raise Refused("bad_manifest", _explain(str(error), table, source)) from None
    for path, problem in _contradictions(manifest):
        raise Refused("bad_manifest", f"{source}: {path}: {problem}")
    return manifest


def _refuse_unknown_keys(table: dict[str, Any], kind: type[_Table], source: str, prefix: str) -> None:
    """Name the first key that does not exist, and the nearest that does."""
    kinds = get_type_hints(kind)
    for key, value in table.items():
        if key not in kinds:
            near = difflib.get_close_matches(key, kinds, n=1)
            hint = f'did you mean "{near[0]}"? ' if near else ""
            raise Refused(
                "bad_manifest", f"{source}: {prefix}{key[:80]}: unknown key; {hint}Allowed here: {', '.join(kinds)}"
            )
        inner = kinds[key]
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, _Table):
            _refuse_unknown_keys(value, inner, source, f"{prefix}{key}.")


def _refuse_bad_accounts(accounts: object, source: str) -> None:
    """Name the bad account; msgspec does not say which key of a dictionary it means."""
    for name, balance in accounts.items() if isinstance(accounts, dict) else ():
        try:
            msgspec.convert(name, AccountName)
        except msgspec.ValidationError:
            problem = "a name is a lower-case letter and up to 31 more letters, digits, _ or -"
            raise Refused("bad_manifest", f"{source}: accounts.{name[:80]}: {problem}") from None
        try:
            msgspec.convert(balance, Balance)
        except msgspec.ValidationError:
            problem = f'a balance is obols like 25 or "0.5", got {json.dumps(balance, default=str)[:60]}'
            raise Refused("bad_manifest", f"{source}: accounts.{name}: {problem}") from None


def _explain(error: str, table: dict[str, Any], source: str) -> str:
    """Turn msgspec's message into: where, what is wrong, what was found, what is allowed."""
    message, _, where = error.partition(" - at ")
    found: Any = table
    description = ""
    kind: Any = Manifest
    path = where.strip("`").removeprefix("$")
    for name, index in re.findall(r"\.([^.\[\]]+)|\[([0-9]+)\]", path):
        if isinstance(kind, type) and issubclass(kind, _Table) and name:
            annotated = get_type_hints(kind, include_extras=True).get(name)
            for meta in getattr(annotated, "__metadata__", ()):
                description = getattr(meta, "description", None) or description
            kind = get_type_hints(kind).get(name)
        if isinstance(found, dict) and name:
            found = found.get(name, found)
        elif isinstance(found, list) and index:
            found = found[int(index)]
    shown = f", got {json.dumps(found, default=str)[:60]}"
    allowed = f". {description}" if description else ""
    return f"{source}: {path.lstrip('.') or 'top level'}: {message[:1].lower()}{message[1:]}{shown}{allowed}"


def _contradictions(manifest: Manifest) -> list[tuple[str, str]]:
    """What the types cannot say: (path of the key, what is wrong and what to do)."""
    problems = []
    processes = manifest.shards * manifest.validators + manifest.relays
    if processes > MAX_PROCESSES:
        problems.append(
            ("shards", f"{manifest.shards} × {manifest.validators} are {processes} processes, limit {MAX_PROCESSES}")
        )
    for pair in () if manifest.links == "all" else manifest.links:
        if max(pair) >= manifest.shards:
            problems.append(
                ("links", f"{list(pair)} names a shard that does not exist; shards are 0 to {manifest.shards - 1}")
            )
        elif pair[0] == pair[1]:
            problems.append(("links", f"{list(pair)} links a shard with itself; a link has two different shards"))
    for name in manifest.accounts:
        if name == FAUCET:
            problems.append((f"accounts.{name}", 'this name is taken; the key "faucet" at the top sets its balance'))
        elif name.startswith("osk1"):
            problems.append((f"accounts.{name}", "a name that begins with osk1 reads as an address; choose another"))
    count = manifest.shards * manifest.validators
    for kind, first in (("api", manifest.ports.api), ("links", manifest.ports.links)):
        if first and first + count > 65536:
            problems.append(
                (f"ports.{kind}", f"{count} ports from {first} on go beyond 65535; begin at {65536 - count} or lower")
            )
    if manifest.ports.api and manifest.ports.links and abs(manifest.ports.api - manifest.ports.links) < count:
        problems.append(
            ("ports", f"the ranges overlap: each kind takes {count} ports; set them at least {count} apart")
        )
    if manifest.consensus.max_timeout_ms < manifest.consensus.base_timeout_ms:
        problems.append(("consensus.max_timeout_ms", "must not be below consensus.base_timeout_ms"))
    return problems


def json_schema() -> str:
    """JSON Schema (2020-12) of a manifest, as committed beside this module."""
    schema = msgspec.json.schema(Manifest)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_PATH.write_text(json_schema(), encoding="utf-8")
    sys.exit(0)
