"""A validator that proposes valid blocks without any transaction and passes no transaction on."""

from collections.abc import Iterable

from consensus.block import Block
from primitives.identifiers import ValidatorIndex
from shards.items import ItemKind
from shards.validator.wire import PeerKind
from testnet.simulator.byzantine.proposals import ChangingLeader, with_content


class CensoringLeader(ChangingLeader):
    """Takes the transactions out of its blocks; what other shards sent stays in."""

    def change(self, block: Block, view: int) -> Block:
        """Leave the transactions out."""
        return with_content(block, items=tuple(item for item in block.items if item[0] != ItemKind.TRANSACTION))

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Gossip nothing."""
        return () if raw[0] == PeerKind.TRANSACTIONS else super().says(to, raw)
