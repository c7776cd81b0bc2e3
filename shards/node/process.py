"""A validator process from its folder to its exit code.

Start-up, in this order: lock the data folder; listen; open both stores and check that they are whole and ours; read
the state back and compare its root with what was recorded and with the chain; recover the core from its journal;
let peers and clients in; let the core execute again what came after the stored state. Exit codes: `faults.ExitCode`.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, NamedTuple

from contracts.runtime.identity import installed_identity
from contracts.worker.client import MachineFault, WorkerMachine
from primitives.errors import Refused
from primitives.identifiers import ValidatorIndex
from primitives.signatures import ED25519, public_key_of
from shards.genesis import check_machine
from shards.limits import HISTORY_BLOCKS
from shards.node.boot import Stores, has_contracts, make_core, open_stores
from shards.node.clock import Clock
from shards.node.config import NodeConfig
from shards.node.driver import Driver
from shards.node.faults import BadConfiguration, ExitCode, Halted, StorageFault
from shards.node.flusher import Flusher
from shards.node.folder import FolderLock
from shards.node.hosting import collected_regularly, listen, loop_factory, stopped_by_signals
from shards.node.http_api import HttpApi
from shards.node.injection.admin import AdminServer
from shards.node.injection.clock import SkewedClock
from shards.node.injection.desk import ValidatorFaults
from shards.node.injection.mouth import LyingOutlet
from shards.node.links import Links, Station
from shards.node.logs import Log, open_log
from shards.node.machine import NodeMachine
from shards.node.metrics import NodeMetrics
from shards.node.news import NewsDesk
from shards.node.node import Node
from shards.node.parts import News, Parts
from shards.node.snapshots import Snapshots, WatchedCore
from shards.node.view_desk import ViewDesk
from shards.pruning import pruning_writes
from shards.validator import reading
from shards.validator.core import ValidatorCore
from shards.validator.effects import BlockApplied

PROGRESS_BLOCKS: Final = 500
"""How often a replay says how far it is."""


class Ready(NamedTuple):
    """Where a validator listens: (host, port)."""

    p2p: tuple[str, int]
    http: tuple[str, int]


def main_validator(config: NodeConfig, on_ready: Callable[[Ready], None] | None = None) -> int:
    """Run a validator until it is told to stop (SIGTERM, SIGINT) or cannot go on; returns its exit code."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(run_validator(config, on_ready))


async def run_validator(config: NodeConfig, on_ready: Callable[[Ready], None] | None = None) -> int:
    """Run a validator on the running loop; returns its exit code and has said on stderr and in the log why."""
    try:
        with FolderLock(config.home), open_log(config.home / "log.jsonl", config.log_level) as log:
            try:
                await _run(config, log, on_ready)
            except Exception as error:
                log.critical("stopped", reason=str(error), kind=type(error).__name__, exc_info=_unexpected(error))
                raise
            log.info("stopped", reason="asked to")
    except BadConfiguration as error:
        return _say(config, error, ExitCode.BAD_CONFIGURATION)
    except StorageFault as error:
        return _say(config, error, ExitCode.STORAGE)
    except Exception as error:  # noqa: BLE001 - the process ends here, with its reason
        return _say(config, error, ExitCode.UNSAFE)
    return ExitCode.STOPPED


def _unexpected(error: Exception) -> bool:
    return not isinstance(error, BadConfiguration | StorageFault | Halted | MachineFault)


def _say(config: NodeConfig, error: Exception, code: ExitCode) -> int:
    reason = str(error) or type(error).__name__
    sys.stderr.write(f"validator {config.index} of shard {config.shard} stopped (exit code {code}): {reason}\n")
    return code


async def _run(config: NodeConfig, log: Log, on_ready: Callable[[Ready], None] | None) -> None:
    committee = config.context.committee(config.shard)
    if not 0 <= config.index < committee.size or public_key_of(config.seed) != committee.keys[config.index]:
        raise BadConfiguration(f"the key is not that of validator {config.index} of shard {config.shard}")
    if config.mouth is not None and not config.context.genesis.development:
        raise BadConfiguration("validators lie on development chains only, and the genesis says that this is none")
    if len(config.peers) != committee.size:
        raise BadConfiguration(
            f"{committee.size} peer addresses are needed, one per validator; got {len(config.peers)}"
        )
    try:
        check_machine(config.context.genesis.machine, installed_identity())
    except Refused as refused:
        raise BadConfiguration(refused.detail) from None
    with ExitStack() as open_files:
        p2p = open_files.enter_context(listen(config.p2p_socket, "links"))
        http = open_files.enter_context(listen(config.http_socket, "HTTP"))
        metrics = NodeMetrics()
        machine = NodeMachine(WorkerMachine(lambda stage: log.info("machine", doing=stage)), metrics, log)
        stores = open_stores(config, machine, log)
        open_files.callback(stores.close)
        open_files.callback(machine.close)
        log.info("starting", shard=config.shard, index=config.index, chain=config.context.chain_id.hex())
        await _serve(config, log, _Engine(stores, machine, metrics), p2p, http, on_ready)


class _Engine(NamedTuple):
    """What executes blocks, and what it is counted with."""

    stores: Stores
    machine: NodeMachine
    metrics: NodeMetrics


class _Services(NamedTuple):
    """What talks to the outside, and what drives it."""

    driver: Driver
    links: Links
    api: HttpApi
    faults: AdminServer | None
    """None on a chain that is not for development."""


def _assemble(config: NodeConfig, log: Log, engine: _Engine) -> _Services:
    """Wire everything together; nothing runs yet."""
    stores, _, metrics = engine
    core = make_core(config, stores)
    clock = SkewedClock(config.clock) if _takes_faults(config) else config.clock
    snapshots = Snapshots(stores.ledger, asyncio.get_running_loop())
    desk = NewsDesk(metrics, core.status())
    desk.progress = _replay_log(core, log)

    async def receive(peer: ValidatorIndex, messages: list[bytes]) -> None:
        if isinstance(outlet, LyingOutlet):
            outlet.hear(peer, messages)
        await driver.deliver(peer, messages)

    committee = config.context.committee(config.shard)
    station = Station(committee, config.index, config.seed, ED25519, config.peers, installed_identity().digest())
    links = Links(station, receive, metrics, log)
    others = [ValidatorIndex(index) for index in range(committee.size) if index != config.index]
    outlet = links if config.mouth is None else LyingOutlet(links, others, config.mouth)
    driver = Driver(
        Parts(
            core=WatchedCore(core, snapshots),
            execute=stores.ledger.execute,
            load_finalized=reading.load_finalized,
            answer_archive=reading.answer_archive,
            pruning_writes=pruning_writes,
            history_blocks=HISTORY_BLOCKS,
            scheme=ED25519,
            store=stores.chain,
            flusher=Flusher(stores.ledger, stores.state),
            outlet=outlet,
            publish=desk.publish,
            clock=clock,
            metrics=metrics,
            log=log,
        )
    )
    views = ViewDesk(metrics, log)
    node = Node(config.context, config.shard, config.index, core, driver, links, desk, metrics, log, snapshots, views)
    return _Services(driver, links, HttpApi(node), _fault_server(config, log, links, stores, clock))


def _takes_faults(config: NodeConfig) -> bool:
    return config.admin_socket is not None and config.context.genesis.development


def _fault_server(config: NodeConfig, log: Log, links: Links, stores: Stores, clock: Clock) -> AdminServer | None:
    """The socket that faults come through, on a development chain."""
    if config.admin_socket is None or not isinstance(clock, SkewedClock):
        return None
    place = (config.shard, config.index)
    size = config.context.committee(config.shard).size
    desk = ValidatorFaults(place, size, links, (stores.chain, stores.state.store), clock)
    return AdminServer(config.admin_socket, desk.board, log)


async def _serve(
    config: NodeConfig,
    log: Log,
    engine: _Engine,
    p2p: socket.socket,
    http: socket.socket,
    on_ready: Callable[[Ready], None] | None,
) -> None:
    """Run until the end."""
    driver, links, api, faults = _assemble(config, log, engine)
    contracts_exist = has_contracts(engine.stores.ledger)
    try:
        with stopped_by_signals(driver.stop):
            addresses = Ready(p2p.getsockname()[:2], http.getsockname()[:2])
            if faults is not None:
                await faults.start()
            await links.start(p2p)
            await api.start(http)
            with collected_regularly():
                driver.start()
                log.info("listening", p2p=addresses.p2p, http=addresses.http)
                if on_ready is not None:
                    on_ready(addresses)
                if contracts_exist:
                    engine.machine.warm()
                await driver.run()
    finally:
        engine.machine.stop()
        if faults is not None:
            await faults.close()
        await api.close()
        await links.close()
        await driver.close()


def _replay_log(core: ValidatorCore, log: Log) -> Callable[[News], None]:
    """Say in the log how the replay after a restart goes."""
    status = core.status()
    target = status.finalized_height
    log.info("recovered", finalized=target, executed=status.executed_height, view=status.view)

    def progress(news: News) -> None:
        if isinstance(news, BlockApplied):
            height = news.execution.commitment.height
            if height <= target and (height == target or not height % PROGRESS_BLOCKS):
                log.info("replayed", height=height, of=target)

    return progress
