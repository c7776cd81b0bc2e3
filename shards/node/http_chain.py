"""Reading the chain: status, blocks, commitments, accounts."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from aiohttp import web

from consensus import archive
from consensus.block import Block, decode_block
from primitives.addresses import format_address, parse_address
from primitives.amounts import unpack_amount
from primitives.codec import encode
from primitives.errors import NotYet
from primitives.identifiers import BlockId, Height, PublicKey
from primitives.storage import Reader
from shards import chain_store
from shards.node import api_types as api
from shards.node.http_operations import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Operation,
    Parameter,
    integer_parameter,
    not_found,
    parse_id,
    path_number,
)
from shards.node.node import Node
from shards.node.views import anchor_height, block_summary, commitment_view, item_view, receipt_view
from shards.receipts import receipt_decoder
from shards.state import account_key

CERTIFICATE_WAIT_S = 10.0
"""How long an account with proof waits for the certificate of its height; it usually takes a few milliseconds."""

PROOF_ATTEMPTS = 3
"""Heights are skipped when a later one is certified first; then the proof is made again."""


def _version() -> str:
    try:
        return version("ostraka")
    except PackageNotFoundError:
        return "unknown"


VERSION: Final = _version()


async def status(node: Node, _request: web.Request) -> api.Answer:
    """Where this validator stands."""
    now = node.core.status()
    reason = node.not_ready()
    return api.StatusAnswer(
        version=VERSION,
        chain_id=node.context.chain_id.hex(),
        chain_name=node.context.genesis.name,
        development=node.context.genesis.development,
        shard=node.shard,
        shards=node.context.shard_count,
        index=node.index,
        public_key=node.committee.keys[node.index].hex(),
        validators=node.committee.size,
        quorum=node.committee.quorum,
        peers=list(node.links.connected()),
        view=now.view,
        leader=now.leader,
        finalized_height=now.finalized_height,
        executed_height=now.executed_height,
        certified_height=now.certified_height,
        time_ms=now.time_ms,
        mempool_transactions=now.mempool_transactions,
        inbox_bundles=now.inbox_bundles,
        blamed=list(now.blamed),
        ready=not reason,
        not_ready=reason,
    )


async def account(node: Node, request: web.Request) -> api.Answer:
    """Read one account, on request with a proof that its height's certificate covers."""
    text = request.match_info["address"]
    raw = parse_id(text)
    address = parse_address(text) if raw is None else PublicKey(raw)
    if integer_parameter(request, "proof", 0, high=1):
        return await _proved_account(node, address)
    return _account_answer(node, address, node.core.ledger.height, None)


def _account_answer(node: Node, address: PublicKey, height: Height, proof: api.AccountProof | None) -> api.Answer:
    record = node.core.ledger.account(address)
    return api.AccountAnswer(
        address=format_address(address),
        public_key=address.hex(),
        shard=node.shard,
        height=height,
        balance=str(unpack_amount(record.balance)),
        nonce=record.nonce,
        next_nonce=node.core.mempool.next_nonce(address),
        open_calls=record.open_calls,
        proof=proof,
    )


async def _proved_account(node: Node, address: PublicKey) -> api.Answer:
    key = account_key(address)
    ledger = node.core.ledger
    for _ in range(PROOF_ATTEMPTS):
        if ledger.height == 0:
            break
        height, value, proof, shown = await node.driver.between_blocks(
            lambda: (ledger.height, ledger.get(key), ledger.prove(key), _account_answer(node, address, ledger.height, None))
        )
        waiting = node.desk.certificate_from(height, CERTIFICATE_WAIT_S)
        certificate = await node.driver.query(lambda reader, at=height: chain_store.certificate_at(reader, at))
    raise NotYet("no certificate of a recent height came in time; ask again")


def _summary(reader: Reader, node: Node, block: Block, size: int, executed: int, certified: int) -> api.BlockSummary:
    height = block.header.height
    return block_summary(block, size, executed=height <= executed, certified=height <= certified)
