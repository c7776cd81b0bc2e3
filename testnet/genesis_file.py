"""The genesis of a chain in one file that people can read.

`genesis.json` holds the whole genesis and nothing else: addresses as "osk1…", obols as decimal texts, certificates in
hex. No information is lost either way: reading the file gives the record whose canonical encoding hashes to the
chain id. The file states that id, so a file that was edited by hand no longer agrees with itself and is refused.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from consensus.committee import Validator, ValidatorSet
from contracts.port import MachineIdentity
from primitives.addresses import format_address, parse_address
from primitives.amounts import format_obol, pack_amount, parse_obol, unpack_amount
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import Epoch, Hash, Milliseconds, PublicKey, ShardId
from shards.genesis import MAX_GENESIS_BYTES, Allocation, ChainContext, Genesis, GenesisShard, genesis_decoder

MAX_GENESIS_TEXT = 2 * MAX_GENESIS_BYTES
"""Characters; hex doubles the certificates, addresses and decimals grow less."""

_hex = Annotated[str, Meta(pattern="^([0-9a-f]{2})*$")]


class _ValidatorView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One validator as the file shows it; `bond` in obols."""

    public_key: _hex
    bond: str
    tls_certificate: _hex


class _ShardView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One shard as the file shows it; `accounts` maps addresses to obols."""

    validators: tuple[_ValidatorView, ...]
    accounts: dict[str, str]


class _MachineView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What executes the chain's contracts."""

    image_sha256: _hex
    wasmtime: str
    target: str
    flags: str


class _GenesisView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON object of `genesis.json`."""

    format: Literal["ostraka-genesis"]
    version: Literal[1]
    chain_id: _hex
    name: str
    development: bool
    time_ms: int
    machine: _MachineView
    shards: tuple[_ShardView, ...]


def genesis_text(context: ChainContext) -> str:
    """Content of `genesis.json`."""
    genesis = context.genesis
    view = _GenesisView(
        format="ostraka-genesis",
        version=1,
        chain_id=context.chain_id.hex(),
        name=genesis.name,
        development=genesis.development,
        time_ms=genesis.time_ms,
        machine=_MachineView(
            image_sha256=genesis.machine.image_sha256.hex(),
            wasmtime=genesis.machine.wasmtime,
            target=genesis.machine.target,
            flags=genesis.machine.flags,
        ),
        shards=tuple(
            _ShardView(
                validators=tuple(
                    _ValidatorView(
                        public_key=validator.public_key.hex(),
                        bond=format_obol(unpack_amount(validator.bond)),
                        tls_certificate=validator.tls_certificate.hex(),
                    )
                    for validator in shard.validators.validators
                ),
                accounts={
                    format_address(allocation.account): format_obol(unpack_amount(allocation.amount))
                    for allocation in shard.allocations
                },
            )
            for shard in genesis.shards
        ),
    )
    return msgspec.json.format(msgspec.json.encode(view), indent=2).decode() + "\n"


def parse_genesis(text: str) -> ChainContext:
    """Read what `genesis_text` wrote.

    Raises:
        Refused: `too_large`; `bad_genesis` (not such a file, or not a valid genesis); `genesis_altered` (its content
            hashes to another chain id than it states).

    """
    if len(text) > MAX_GENESIS_TEXT:
        raise Refused("too_large", f"a genesis file has at most {MAX_GENESIS_TEXT} characters, this one {len(text)}")
    try:
        view = msgspec.json.decode(text.encode("utf-8", "surrogatepass"), type=_GenesisView)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused("bad_genesis", f"this is not an Ostraka genesis file: {error}") from None
    context = ChainContext(_checked(_genesis_of(view)))
    if context.chain_id.hex() != view.chain_id:
        raise Refused(
            "genesis_altered",
            f"the file says chain {view.chain_id[:16]}…, its content is chain {context.chain_id.hex()[:16]}…; somebody"
            " edited it. Take the original, or start a new chain with `ostraka reset` and `ostraka up`",
        )
    return context


def _genesis_of(view: _GenesisView) -> Genesis:
    """Record that the file describes; lengths and counts are not checked yet."""
    return Genesis(
        version=view.version,
        name=view.name,
        development=view.development,
        time_ms=Milliseconds(view.time_ms),
        machine=MachineIdentity(
            image_sha256=Hash(bytes.fromhex(view.machine.image_sha256)),
            wasmtime=view.machine.wasmtime,
            target=view.machine.target,
            flags=view.machine.flags,
        ),
        shards=tuple(
            GenesisShard(
                validators=ValidatorSet(
                    shard=ShardId(number),
                    epoch=Epoch(0),
                    validators=tuple(
                        Validator(
                            public_key=PublicKey(bytes.fromhex(validator.public_key)),
                            tls_certificate=bytes.fromhex(validator.tls_certificate),
                            bond=pack_amount(parse_obol(validator.bond)),
                        )
                        for validator in shard.validators
                    ),
                ),
                allocations=tuple(
                    Allocation(account=parse_address(address), amount=pack_amount(parse_obol(amount)))
                    for address, amount in shard.accounts.items()
                ),
            )
            for number, shard in enumerate(view.shards)
        ),
    )


def _checked(genesis: Genesis) -> Genesis:
    """Pass the record through its own decoder, where every length and bound is enforced."""
    try:
        return genesis_decoder.decode(encode(genesis))
    except (Refused, OverflowError) as error:
        raise Refused("bad_genesis", f"this genesis file breaks a limit: {error}") from None
