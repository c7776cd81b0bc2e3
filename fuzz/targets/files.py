"""What people and disks hand over: manifests, genesis and key files, scenarios, fault orders, addresses, records."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from fuzz import samples
from fuzz.target import Target, must
from primitives.addresses import format_address, parse_address
from primitives.amounts import format_obol, parse_obol
from primitives.errors import Refused
from primitives.identifiers import SecretSeed
from primitives.keyfiles import ScryptCost, open_key, seal_key
from shards.node.injection.faults import Order, parse_order
from shards.node.records import Sealer
from testnet.genesis_file import genesis_text, parse_genesis
from testnet.manifest import parse_manifest
from testnet.scenarios.scenario import parse_scenario
from testnet.toml_file import parse_toml

ROOT: Final = Path(__file__).parents[2]

_SEED: Final = SecretSeed(bytes(range(32)))
_SEALER: Final = Sealer("blocks")
_KEY: Final = b"\0\0\0\0\0\0\0\7"
_VALUE: Final = bytes(range(100))

_ORDER: Final = {
    "name": "delay-1",
    "text": "delay s0/v1 200ms",
    "faults": [
        {"kind": "link", "effect": "delay", "peers": [[0, 1]], "delay_ms": 200, "jitter_ms": 5},
        {"kind": "disk", "effect": "slow", "delay_ms": 50},
        {"kind": "clock", "offset_ms": -900},
    ],
    "lasts_ms": 5000,
}


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Refused("malformed", "no UTF-8") from None


def _toml(parse: Callable[[dict[str, Any], str], object]) -> Callable[[bytes], None]:
    def read(raw: bytes) -> None:
        parse(parse_toml(raw, "file", "file.toml"), "file.toml")

    return read


def _manifests() -> list[bytes]:
    return [(ROOT / "docs" / "ostraka.toml").read_bytes(), b"shards = 2\nlinks = [[0, 1]]\n", b""]


def _scenarios() -> list[bytes]:
    step = b'[[step]]\nat = "5s"\naction = "delay"\ntarget = "s0/v1>s0/v2"\nby = "200ms"\nfor = "3s"\n'
    return [(ROOT / "examples" / "scenarios" / "bad-minute.toml").read_bytes(), b'name = "one"\n' + step]


def _geneses() -> list[bytes]:
    return [genesis_text(samples.chain().context).encode()]


def _read_genesis(raw: bytes) -> None:
    context = parse_genesis(_text(raw))
    must(context.chain_id == samples.chain().context.chain_id, "a changed genesis states the hash of another")


def _keys() -> list[bytes]:
    cost = ScryptCost(n=2, r=1, p=1)
    return [seal_key(_SEED, "open sesame", salt=b"salt" * 4, nonce=b"nonce" + bytes(7), cost=cost).encode()]


def _open_key(raw: bytes) -> None:
    must(open_key(_text(raw), "open sesame") == _SEED, "a changed key file opens to another key")


def _orders() -> list[bytes]:
    return [json.dumps(_ORDER).encode()]


def _read_order(raw: bytes) -> None:
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("malformed", "no JSON") from None
    must(isinstance(parse_order(value), Order), "an order is read as something else")


def _addresses() -> list[bytes]:
    keys = [account.key for account in samples.chain().accounts]
    return [format_address(key).encode() for key in keys] + [format_address(keys[0]).upper().encode()]


def _read_address(raw: bytes) -> None:
    text = _text(raw)
    must(format_address(parse_address(text)) == text.lower(), "an address has two forms")


def _amounts() -> list[bytes]:
    return [b"1", b"0.5", b"1000000", b"12.345678"]


def _read_amount(raw: bytes) -> None:
    amount = parse_obol(_text(raw))
    must(parse_obol(format_obol(amount)) == amount, "an amount changes when it is shown")


def _records() -> list[bytes]:
    return [_SEALER.seal(_KEY, _VALUE)]


def _open_record(raw: bytes) -> None:
    must(_SEALER.open(_KEY, raw) == _VALUE, "a changed record passes for a sealed one")


TARGETS: Final = (
    Target("manifest", _toml(parse_manifest), _manifests, form="text"),
    Target("scenario", _toml(parse_scenario), _scenarios, form="text"),
    Target("genesis-file", _read_genesis, _geneses, form="json", weight=50),
    # A file may ask for 256 MiB of scrypt four times over.
    Target("key-file", _open_key, _keys, form="json", slow_s=15.0, weight=20),
    Target("fault-order", _read_order, _orders, form="json"),
    Target("address", _read_address, _addresses, form="text"),
    Target("amount", _read_amount, _amounts, form="text"),
    Target("stored-record", _open_record, _records, form="bytes"),
)
