"""What the processes of a testnet are told: one plan for each validator and each relay."""

import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from primitives.identifiers import ShardId, ValidatorIndex
from relay.service import RelayConfig, main_relay
from shards.genesis import ChainContext
from shards.node.config import NodeConfig
from shards.node.process import main_validator
from testnet.development_keys import validator_seed
from testnet.home import admin_socket, node_folder, node_log, validator_data
from testnet.lying import mouth_of
from testnet.manifest import Manifest
from testnet.ports import LOOPBACK, PortReservation
from testnet.processes import NodePlan


def plan_nodes(home: Path, context: ChainContext, manifest: Manifest) -> list[NodePlan]:
    """Reserve a port for everything that listens, then say what each process does.

    Raises:
        Refused: `port_taken`.

    """
    api, links = (
        _reserve(manifest, manifest.ports.api, "the API"),
        _reserve(manifest, manifest.ports.links, "the links"),
    )
    plans = []
    for shard in range(manifest.shards):
        first = shard * manifest.validators
        peers = tuple((LOOPBACK, port.number) for port in links[first : first + manifest.validators])
        for index in range(manifest.validators):
            name = f"s{shard}/v{index}"
            plans.append(
                NodePlan(
                    name=name,
                    kind="validator",
                    shard=shard,
                    folder=node_folder(home, name),
                    log=node_log(home, name),
                    ports=(api[first + index], links[first + index]),
                    main=_validator_main(home, context, manifest, (shard, index), peers),
                    lying=partial(_validator_main, home, context, manifest, (shard, index), peers),
                )
            )
    urls = {
        ShardId(shard): tuple(
            f"http://{LOOPBACK}:{port.number}"
            for port in api[shard * manifest.validators : (shard + 1) * manifest.validators]
        )
        for shard in range(manifest.shards)
    }
    for number in range(manifest.relays):
        name = f"r{number}"
        plans.append(
            NodePlan(
                name=name,
                kind="relay",
                shard=None,
                folder=node_folder(home, name),
                log=node_log(home, name),
                ports=(PortReservation(0, f"the HTTP interface of {name}"),),
                main=_relay_main(home, context, manifest, name, urls),
            )
        )
    return plans


def _reserve(manifest: Manifest, first: int, purpose: str) -> list[PortReservation]:
    """One port per validator, in order of shards and indices."""
    return [
        PortReservation(
            first and first + place, f"{purpose} of s{place // manifest.validators}/v{place % manifest.validators}"
        )
        for place in range(manifest.shards * manifest.validators)
    ]


def _validator_main(
    home: Path,
    context: ChainContext,
    manifest: Manifest,
    place: tuple[int, int],
    peers: tuple[tuple[str, int], ...],
    behaviour: str = "",
) -> Callable[[tuple[socket.socket, ...]], int]:
    """What a validator's process does; with a `behaviour`, what it pretends to do."""
    shard, index = place

    def main(sockets: tuple[socket.socket, ...]) -> int:
        http, p2p = sockets
        seed = validator_seed(shard, index)
        mouth = None
        if behaviour:
            mouth = mouth_of(behaviour, context, (ShardId(shard), ValidatorIndex(index)), seed)
        return main_validator(
            NodeConfig(
                home=validator_data(home, shard, index),
                context=context,
                shard=ShardId(shard),
                index=ValidatorIndex(index),
                seed=seed,
                p2p_socket=p2p,
                http_socket=http,
                peers=peers,
                rules=manifest.consensus.rules(),
                admin_socket=admin_socket(home, f"s{shard}/v{index}"),
                mouth=mouth,
            )
        )

    return main


def _relay_main(
    home: Path, context: ChainContext, manifest: Manifest, name: str, urls: Mapping[ShardId, tuple[str, ...]]
) -> Callable[[tuple[socket.socket, ...]], int]:
    """What a relay's process does."""

    def main(sockets: tuple[socket.socket, ...]) -> int:
        pairs = manifest.links_of()
        return main_relay(
            RelayConfig(
                context=context,
                endpoints=urls,
                http_socket=sockets[0],
                log_path=node_folder(home, name) / "data" / "log.jsonl",
                links=[*pairs, *((high, low) for low, high in pairs)],
                admin_socket=admin_socket(home, name),
            )
        )

    return main
