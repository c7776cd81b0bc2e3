"""Reading the chain: status, blocks, commitments, accounts."""

import asyncio
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from aiohttp import web

from consensus import archive
from consensus.block import decode_block
from primitives.addresses import format_address, parse_address
from primitives.amounts import unpack_amount
from primitives.codec import encode
from primitives.errors import NotYet, Refused
from primitives.identifiers import MAX_INTEGER, BlockId, Height, PublicKey
from primitives.storage import Reader, integer_key
from shards import chain_store
from shards.commitments import CommitmentCertificate
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
from shards.state import EMPTY_ACCOUNT, Account, account_key, decode_account

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
    """Where this validator stands; the heights are those that are durable here."""
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
        finalized_height=node.desk.finalized_height,
        executed_height=node.desk.executed_height,
        certified_height=node.desk.certified_height,
        time_ms=now.time_ms,
        mempool_transactions=now.mempool_transactions,
        inbox_bundles=now.inbox_bundles,
        contracts=node.snapshots.contract_count,
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
    ledger = node.core.ledger
    return _account_answer(node, address, ledger.height, ledger.account(address), None)


def _account_answer(
    node: Node, address: PublicKey, height: int, record: Account, proof: api.AccountProof | None
) -> api.Answer:
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
    key, ledger = account_key(address), node.core.ledger

    def prove() -> tuple[Height, bytes | None, bytes]:
        return ledger.height, ledger.get(key), ledger.prove(key)

    for _ in range(PROOF_ATTEMPTS):
        height, value, proof = await node.driver.between_blocks(prove)
        if not height:
            raise NotYet("the genesis has no certificate; ask again when the first block is executed")
        certificate = await certificate_of(node, height)
        if certificate is not None:
            record = EMPTY_ACCOUNT if value is None else decode_account(value)
            evidence = api.AccountProof(
                certificate=encode(certificate).hex(),
                key=key.hex(),
                value=None if value is None else value.hex(),
                proof=proof.hex(),
            )
            return _account_answer(node, address, height, record, evidence)
    raise NotYet("no recent height was certified in time; ask again")


async def certificate_of(node: Node, height: Height) -> CommitmentCertificate | None:
    """The certificate of exactly this height, waited for; None when a later height is certified and this one is not."""
    waiting = asyncio.ensure_future(node.desk.certificate_from(height, CERTIFICATE_WAIT_S))
    try:
        for _ in range(2):
            found = await node.driver.query(lambda reader: chain_store.certificate_at(reader, height))
            if found is not None:
                return found
            await waiting
        return None
    finally:
        waiting.cancel()


async def blocks(node: Node, request: web.Request) -> api.Answer:
    """Finalized blocks from a height on, ascending."""
    first = integer_parameter(request, "from", 1, low=1)
    limit = integer_parameter(request, "limit", DEFAULT_PAGE, low=1, high=MAX_PAGE)

    def read(reader: Reader) -> list[api.BlockSummary]:
        stored = reader.scan(archive.BLOCKS, integer_key(first), integer_key(min(first + limit, MAX_INTEGER)))
        return [_summary(reader, raw) for _, raw in stored]

    found = await node.driver.query(read)
    return api.BlocksAnswer(blocks=found, next=found[-1].height + 1 if len(found) == limit else None)


def _summary(reader: Reader, raw: bytes) -> api.BlockSummary:
    block = decode_block(raw)
    certificate = chain_store.latest_certificate(reader)
    certified = 0 if certificate is None else certificate.commitment.height
    executed = chain_store.commitment_at(reader, Height(block.header.height)) is not None
    return block_summary(block, len(raw), executed=executed, certified=block.header.height <= certified)


async def block(node: Node, request: web.Request) -> api.Answer:
    """Read one block, by its height or its id."""
    text = request.match_info["block"]
    number, name = path_number(request, "block"), parse_id(text)
    if number is None and name is None:
        raise Refused("bad_id", f"a block is named by its height or its id, got {text[:80]!r}")

    def read(reader: Reader) -> api.BlockAnswer | None:
        height = archive.height_of(reader, BlockId(name)) if name is not None else number
        raw = None if height is None else archive.finalized_block(reader, Height(height))
        if raw is None or height is None:
            return None
        decoded = decode_block(raw)
        return api.BlockAnswer(
            summary=_summary(reader, raw),
            parent=decoded.header.parent.hex(),
            anchor_height=anchor_height(decoded),
            items=[item_view(item) for item in decoded.items],
            receipts=[
                receipt_view(chain_store.decode_receipt(each))
                for each in chain_store.receipts_at(reader, Height(height))
            ],
        )

    found = await node.driver.query(read)
    if found is None:
        raise not_found(f"this validator has no finalized block {text}")
    return found


async def commitment(node: Node, request: web.Request) -> api.Answer:
    """Read the commitment of a height, or the newest one that has a certificate."""
    text = request.match_info["height"]
    number = path_number(request, "height")
    if number is None and text != "latest":
        raise Refused("bad_parameter", f"a commitment is named by its height or `latest`, got {text[:80]!r}")

    def read(reader: Reader) -> api.CommitmentAnswer | None:
        if number is None:
            newest = chain_store.latest_certificate(reader)
            return None if newest is None else commitment_view(newest.commitment, newest)
        certificate = chain_store.certificate_at(reader, Height(number))
        own = chain_store.commitment_at(reader, Height(number))
        shown = own if certificate is None else certificate.commitment
        return None if shown is None else commitment_view(shown, certificate)

    found = await node.driver.query(read)
    if found is None:
        raise not_found("nothing is certified yet" if number is None else f"height {number} is not executed here")
    return found


OPERATIONS: Final = (
    Operation("GET", "/v1/status", "status", "Where this validator stands", status, api.StatusAnswer),
    Operation(
        "GET",
        "/v1/accounts/{address}",
        "account",
        "An account, with a proof on request",
        account,
        api.AccountAnswer,
        (
            Parameter("address", "path", "osk1… or 64 hexadecimal digits", "string"),
            Parameter("proof", "query", "1 for a proof under the certificate of the answer's height"),
        ),
    ),
    Operation(
        "GET",
        "/v1/blocks",
        "blocks",
        "Finalized blocks, ascending",
        blocks,
        api.BlocksAnswer,
        (
            Parameter("from", "query", "first height, 1 when left out"),
            Parameter("limit", "query", f"at most {MAX_PAGE}"),
        ),
    ),
    Operation(
        "GET",
        "/v1/blocks/{block}",
        "block",
        "One block with its receipts",
        block,
        api.BlockAnswer,
        (Parameter("block", "path", "height or id", "string"),),
    ),
    Operation(
        "GET",
        "/v1/commitments/{height}",
        "commitment",
        "The commitment of a height, with its certificate",
        commitment,
        api.CommitmentAnswer,
        (Parameter("height", "path", "a height, or `latest`", "string"),),
    ),
)
