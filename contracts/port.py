"""What the ledger knows of the machine, and the machine of the ledger: types only, importing it loads no engine.

The ledger hands a batch of invocations to a `Machine`, which reads the ledger through a `World` and tells each outcome
to a `Settle` before it begins the next call. `contracts.machine.local` and `contracts.worker.client` implement it.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Protocol

from msgspec import Meta

from contracts.outcomes import Compilation, Invocation, Outcome
from primitives.codec import Record
from primitives.hashing import Tag, tagged_hash
from primitives.identifiers import Hash, HashField

_IDENTITY = Tag(b"ostraka/machine/v1\0")


class MachineIdentity(Record):
    """What has to be the same on all validators of a shard: equal identities mean equal outcomes and equal gas."""

    image_sha256: HashField
    wasmtime: Annotated[str, Meta(max_length=32)]
    target: Annotated[str, Meta(max_length=64)]
    flags: Annotated[str, Meta(max_length=256)]

    def digest(self) -> Hash:
        """The 32 bytes that genesis and the handshake carry."""
        parts = (self.wasmtime, self.target, self.flags)
        lengths = b"".join(len(part.encode()).to_bytes(2, "big") + part.encode() for part in parts)
        return tagged_hash(_IDENTITY, self.image_sha256, lengths)


class World(Protocol):
    """The ledger, as the machine reads it. All answers are those of the state after what was settled before."""

    def source(self, code_hash: Hash) -> str:
        """Source of deployed code."""
        ...

    def read(self, contract: str, key: bytes) -> bytes | None:
        """Stored value."""
        ...

    def keys(self, contract: str, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """Stored keys that begin with `prefix` and are greater than `after`, in byte order, at most `limit`."""
        ...

    def balance(self, contract: str) -> int:
        """What the contract holds in base units, the value of the call that runs included."""
        ...


Settle = Callable[[int, Outcome], None]
"""Told the index and the outcome of each call before the next one begins; apply its effects then."""


class Machine(Protocol):
    """Compiles contracts and runs calls. Equal identities give equal results. Not for several threads at once."""

    def identity(self) -> MachineIdentity:
        """What genesis pins and the handshake compares."""
        ...

    def compile(self, source: str, gas_limit: int) -> Compilation:
        """Compile a contract to be deployed; `gas_used` is at most `gas_limit`."""
        ...

    def forget(self) -> None:
        """Forget what was read: the ledger stands elsewhere than where the runs settled so far have left it."""
        ...

    def run(self, batch: Sequence[Invocation], world: World, settle: Settle) -> None:
        """Run calls in order; what one call did is in `world` before the next one begins."""
        ...
