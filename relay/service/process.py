"""A relay process from its configuration to its exit code. It keeps nothing on disk but its log."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from primitives.errors import Refused
from primitives.identifiers import ShardId, ValidatorIndex
from primitives.signatures import ED25519
from relay.core import Courier
from relay.links import Links
from relay.service.client import ValidatorClient
from relay.service.faulty_client import FaultyClient
from relay.service.http import RelayHttp
from relay.service.metrics import RelayMetrics
from relay.service.shell import Place, RelayShell
from relay.settings import CourierSettings
from shards.genesis import ChainContext
from shards.node.clock import Clock, system_clock
from shards.node.config import Listener
from shards.node.faults import BadConfiguration, ExitCode
from shards.node.hosting import listen, loop_factory, stopped_by_signals
from shards.node.injection.admin import AdminServer
from shards.node.logs import Log, open_log


@dataclass(frozen=True)
class RelayConfig:
    """Everything that a relay needs to be told."""

    context: ChainContext
    endpoints: Mapping[ShardId, Sequence[str | None]]
    """Base URL of each validator's HTTP interface by shard and index (`http://127.0.0.1:7001`); None if unknown."""
    http_socket: Listener
    log_path: Path
    links: Iterable[tuple[int, int]] | None = None
    """(source, destination) of every lane to serve; all when left out."""
    settings: CourierSettings = field(default_factory=CourierSettings)
    log_level: str = "info"
    clock: Clock = system_clock
    admin_socket: Path | None = None
    """Where faults on purpose may come in; there is none without it, nor on a chain that is not for development."""


def main_relay(config: RelayConfig, on_ready: Callable[[tuple[str, int]], None] | None = None) -> int:
    """Run a relay until it is told to stop (SIGTERM, SIGINT); returns its exit code."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(run_relay(config, on_ready))


async def run_relay(
    config: RelayConfig,
    on_ready: Callable[[tuple[str, int]], None] | None = None,
    stop: asyncio.Event | None = None,
) -> int:
    """Run a relay on the running loop until a signal comes or `stop` is set; returns an `ExitCode`.

    `on_ready` is told the (host, port) of its own HTTP interface. Why it stopped stands on stderr and in the log.
    """
    try:
        config.log_path.parent.mkdir(parents=True, exist_ok=True)
        with open_log(config.log_path, config.log_level) as log:
            try:
                await _run(config, log, on_ready, stop if stop is not None else asyncio.Event())
            except Exception as error:
                log.critical("stopped", reason=str(error), exc_info=not isinstance(error, BadConfiguration | Refused))
                raise
            log.info("stopped", reason="asked to")
    except (BadConfiguration, Refused, OSError) as error:
        return _say(error, ExitCode.BAD_CONFIGURATION)
    except Exception as error:  # noqa: BLE001 - the process ends here, with its reason
        return _say(error, ExitCode.UNSAFE)
    return ExitCode.STOPPED


def _say(error: Exception, code: ExitCode) -> int:
    sys.stderr.write(f"relay stopped (exit code {code}): {str(error) or type(error).__name__}\n")
    return code


async def _run(
    config: RelayConfig, log: Log, on_ready: Callable[[tuple[str, int]], None] | None, stop: asyncio.Event
) -> None:
    urls = read_endpoints(config.context, config.endpoints)
    reachable = {
        shard: tuple(index for place, index in urls if place == shard)
        for shard in map(ShardId, range(config.context.shard_count))
    }
    links = Links(config.context.shard_count, config.links)
    courier = Courier(config.context, links, ED25519, reachable, config.settings)
    with listen(config.http_socket, "HTTP") as bound:
        client, faults = _make_client(config, urls, log)
        shell = RelayShell(courier, urls, client, config.clock, RelayMetrics(), log)
        http = RelayHttp(shell)
        try:
            with stopped_by_signals(stop.set):
                if faults is not None:
                    await faults.start()
                await http.start(bound)
                address: tuple[str, int] = bound.getsockname()[:2]
                log.info("listening", http=address, links=len(links.pairs()), validators=len(urls))
                shell.start()
                if on_ready is not None:
                    on_ready(address)
                await _until(stop, shell.failed)
        finally:
            if faults is not None:
                await faults.close()
            await shell.close()
            await client.close()
            await http.close()


def _make_client(
    config: RelayConfig, urls: Mapping[Place, str], log: Log
) -> tuple[ValidatorClient, AdminServer | None]:
    """What talks to validators; on a development chain with the socket that faults come through."""
    if config.admin_socket is None or not config.context.genesis.development:
        return ValidatorClient(), None
    client = FaultyClient(config.context, {url: place for place, url in urls.items()})
    return client, AdminServer(config.admin_socket, client.board, log)


async def _until(stop: asyncio.Event, failed: asyncio.Future[None]) -> None:
    """Wait until told to stop; raises what the courier broke with."""
    failed.add_done_callback(lambda _: stop.set())
    await stop.wait()
    if failed.done():
        failed.result()


def read_endpoints(context: ChainContext, endpoints: Mapping[ShardId, Sequence[str | None]]) -> dict[Place, str]:
    """URL of every validator that can be reached, in order.

    Raises:
        BadConfiguration: a shard or validator that the chain does not have, or something that is no http(s) URL.

    """
    urls: dict[Place, str] = {}
    for shard in sorted(endpoints):
        if not 0 <= shard < context.shard_count:
            raise BadConfiguration(f"endpoints: there is no shard {shard}; the chain has {context.shard_count} shards")
        size = context.committee(shard).size
        if len(endpoints[shard]) > size:
            raise BadConfiguration(
                f"endpoints: {len(endpoints[shard])} URLs for shard {shard}, which has {size} validators"
            )
        for index, url in enumerate(endpoints[shard]):
            if url is None:
                continue
            if not _is_base_url(url):
                raise BadConfiguration(
                    f"endpoints: {url!r} (shard {shard}, validator {index}) is no base URL like http://127.0.0.1:7001"
                )
            urls[shard, ValidatorIndex(index)] = url.rstrip("/")
    return urls


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(
            parts.scheme in {"http", "https"}
            and parts.hostname
            and (parts.port is None or parts.port > 0)
            and not (parts.query or parts.fragment or parts.username)
        )
    except ValueError:
        return False
