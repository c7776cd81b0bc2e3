"""Execution: what a finalized block does to the state. `execute(state, block)` reads like protocol.md section 3.

In block order: first what is due and this shard's messages to itself, then the items in order. Whatever stands in a
finalized block was checked before the vote; what those checks exclude is our own error here and stops the validator.
"""

from consensus.block import Block
from primitives.errors import InvariantViolated, Refused
from shards.bundles import decode_bundle
from shards.calls.batches import CallBatch
from shards.calls.local import execute_local
from shards.consumption import consume_bundle
from shards.items import ItemKind, unpack_item
from shards.transactions import parse_transaction
from shards.transfers import execute_transaction
from shards.working_state import WorkingState


def execute_items(state: WorkingState, block: Block) -> None:
    """Execute a block's items, in order, on the working state.

    Raises:
        InvariantViolated: the block holds what the checks before the vote refuse.

    """
    execute_local(state)
    batch = CallBatch(state)
    for position, item in enumerate(block.items):
        try:
            kind, raw = unpack_item(item)
            if kind is ItemKind.TRANSACTION:
                execute_transaction(state, parse_transaction(raw), batch)
                continue
            batch.flush()
            match kind:
                case ItemKind.BUNDLE:
                    consume_bundle(state, decode_bundle(raw), position)
                case ItemKind.EVIDENCE:
                    # Standing in a finalized block is all there is to evidence while validator sets are static.
                    pass
                case ItemKind.EPOCH_PROOF | ItemKind.MEMBERSHIP:
                    raise InvariantViolated(f"item {position}: kind {kind.name} has no meaning in epoch 0")
        except Refused as refused:
            raise InvariantViolated(f"item {position} of a finalized block is not well-formed: {refused}") from refused
    batch.flush()
