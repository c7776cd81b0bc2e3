"""Start-up from a data folder: whether it is whole and ours, and where we stopped."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consensus import archive, journal
from contracts.port import Machine
from primitives.errors import InvariantViolated, Refused
from primitives.signatures import ED25519
from primitives.storage import Write
from shards import chain_store
from shards.ledger import Ledger
from shards.node.config import NodeConfig
from shards.node.faults import StorageFault
from shards.node.folder import FORMAT_VERSION, Identity, check_identity, encode_identity, is_new, remove_mark
from shards.node.logs import Log
from shards.node.state_store import Applied, StateStore
from shards.node.storage import LmdbStore
from shards.state import Namespace
from shards.validator.core import ValidatorCore, initial_writes, recover

META: Final = "node.meta"
_IDENTITY = b"identity"

TABLES: Final = (
    journal.VOTES,
    journal.JUSTIFICATIONS,
    journal.CERTIFICATES,
    journal.PENDING,
    journal.META,
    archive.BLOCKS,
    archive.FINALITY,
    archive.HEIGHTS,
    *chain_store.TABLES,
    META,
)
"""Of the chain's store."""


@dataclass(frozen=True)
class Stores:
    """Both open stores and what was read from them."""

    chain: LmdbStore
    state: StateStore
    ledger: Ledger

    def close(self) -> None:
        """Close both files."""
        self.chain.close()
        self.state.close()


def has_contracts(ledger: Ledger) -> bool:
    """Whether anything is deployed in the state as it is; looks at all of it."""
    return any(key[0] == Namespace.CONTRACT for key, _ in ledger.entries())


def open_stores(config: NodeConfig, machine: Machine, log: Log) -> Stores:
    """Open a data folder, or make one, and read the ledger back from it; `machine` runs its contracts.

    Raises:
        BadConfiguration: the folder is another validator's.
        StorageFault: what is in it is damaged, or its parts do not belong together.

    """
    mine = Identity(
        format_version=FORMAT_VERSION,
        chain_id=config.context.chain_id,
        shard=config.shard,
        index=config.index,
        public_key=config.context.committee(config.shard).keys[config.index],
    )
    with ExitStack() as opened:
        chain = LmdbStore(config.home / "chain", tables=TABLES)
        opened.callback(chain.close)
        state = StateStore(config.home / "state")
        opened.callback(state.close)
        for store in (chain, state.store):
            if not store.check():
                log.info("store_not_walked", path=str(store.path), bytes=store.size_bytes())
        _settle_identity(config.home, chain, state, mine)
        ledger = _read_ledger(config, machine, chain, state)
        opened.pop_all()
    return Stores(chain, state, ledger)


def _settle_identity(home: Path, chain: LmdbStore, state: StateStore, mine: Identity) -> None:
    """Check whose the folder is; an empty one becomes ours, in one commit with what a new journal must begin with."""
    with chain.reader() as reader:
        of_chain = reader.get(META, _IDENTITY)
    of_state = state.identity()
    for recorded in (of_chain, of_state):
        if recorded is not None:
            check_identity(home, recorded, mine)
    if of_chain is None:
        if of_state is not None:
            raise StorageFault(
                f"{home} has a state but no chain: the journal is lost. Start from an empty folder; the validator then "
                "signs nothing until it cannot contradict what it signed before"
            )
        journal_begins = initial_writes() if is_new(home) else ()
        chain.commit([Write(META, _IDENTITY, encode_identity(mine)), *journal_begins])
    remove_mark(home)
    if of_state is None:
        state.write_identity(encode_identity(mine))


def _read_ledger(config: NodeConfig, machine: Machine, chain: LmdbStore, state: StateStore) -> Ledger:
    """Ledger at the last flush, or at the genesis when there was none."""
    loaded = state.load()
    if loaded is None:
        ledger = Ledger(config.context, config.shard, machine=machine)
        state.flush(_applied(ledger), dict(ledger.entries()))
        return ledger
    applied, entries = loaded
    try:
        ledger = Ledger.restore(config.context, config.shard, entries, machine=machine)
    except Refused as refused:
        raise StorageFault(f"{config.home}/state: {refused.detail}") from None
    if _applied(ledger) != applied:
        raise StorageFault(f"{config.home}/state is damaged: its root is not the one recorded at {applied.height}")
    if applied.height:
        with chain.reader() as reader:
            committed = chain_store.commitment_at(reader, applied.height)
        if committed != ledger.commitment:
            behind = "is not the one that the chain has there; one of the two was replaced by an older copy"
            raise StorageFault(f"{config.home}: the state of height {applied.height} {behind}")
    return ledger


def _applied(ledger: Ledger) -> Applied:
    return Applied(height=ledger.height, block_id=ledger.block_id, state_root=ledger.commitment.state_root)


def make_core(config: NodeConfig, stores: Stores) -> ValidatorCore:
    """Core with its journal read back; a journal that contradicts itself raises `StorageFault`."""
    try:
        with stores.chain.reader() as reader:
            recovered = recover(reader)
        return ValidatorCore(
            config.context, config.shard, config.index, config.seed, ED25519, config.rules, stores.ledger, recovered
        )
    except (Refused, InvariantViolated) as error:
        raise StorageFault(f"{config.home}/chain cannot be recovered from: {error}") from error
