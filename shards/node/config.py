"""What one validator needs to be told."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from consensus.pacing import Rules
from primitives.errors import Refused
from primitives.identifiers import SecretSeed, ShardId, ValidatorIndex
from primitives.keyfiles import open_key
from shards.genesis import ChainContext
from shards.node.clock import Clock, system_clock
from shards.node.faults import BadConfiguration
from shards.node.injection.mouth import MakeMouth

Listener = socket.socket | tuple[str, int]
"""A bound TCP socket, or (host, port) to bind; port 0 takes any free one."""


@dataclass(frozen=True)
class NodeConfig:
    """Everything that one validator needs to be told."""

    home: Path
    """Data folder, made if need be; also holds the log."""
    context: ChainContext
    shard: ShardId
    index: ValidatorIndex
    seed: SecretSeed = field(repr=False)
    p2p_socket: Listener
    http_socket: Listener
    peers: Sequence[tuple[str, int]]
    """(host, port) of each validator of the shard by index; the own one is not used."""
    rules: Rules = field(default_factory=Rules)
    log_level: str = "info"
    clock: Clock = system_clock
    admin_socket: Path | None = None
    """Where faults on purpose may come in; there is none without it, nor on a chain that is not for development."""
    mouth: MakeMouth | None = None
    """Makes it lie; refused on a chain that is not for development."""


def read_key_file(path: Path, passphrase: str) -> SecretSeed:
    """Open a validator's encrypted key file; refuses one that others on this machine may read.

    Raises:
        BadConfiguration: it cannot be read, is open to others, or the passphrase is wrong.

    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"cannot read the key file {path}: {error}") from None
    if mode & 0o077:
        raise BadConfiguration(f"the key file {path} is open to other users; run: chmod 600 {path}")
    try:
        return open_key(text, passphrase)
    except Refused as refused:
        raise BadConfiguration(f"{path}: {refused.detail}") from None
