"""Transactions, messages and traces: handing in, and asking what became of them."""

from typing import Final

import msgspec
from aiohttp import web

from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import MessageId, TransactionId
from primitives.storage import Reader
from shards import chain_store, queries
from shards.node import api_types as api
from shards.node.contract_views import begun_call
from shards.node.http_operations import Operation, Parameter, not_found, octets, path_id
from shards.node.node import Node
from shards.node.views import receipt_view, sent_status_view
from shards.trace_parts import trace_part
from shards.validator.effects import Submission

JSON = "application/json"
MSGPACK = "application/msgpack"
OCTETS = "application/octet-stream"

_json_body = msgspec.json.Decoder(api.SubmitRequest)
_msgpack_body = msgspec.msgpack.Decoder(list[bytes])


async def submit(node: Node, request: web.Request) -> api.Answer:
    """Hand in signed transactions; handing in the same one again gives the same answer."""
    raws = _transactions_of(request.content_type, await request.read())
    if not 1 <= len(raws) <= api.MAX_SUBMITTED:
        raise Refused("bad_request", f"hand in 1 to {api.MAX_SUBMITTED} transactions at a time, got {len(raws)}")
    results = await node.driver.submit_transactions(raws)
    return api.SubmitAnswer(results=[submit_result(result) for result in results])


def _transactions_of(content_type: str, body: bytes) -> tuple[bytes, ...]:
    try:
        if content_type == MSGPACK:
            return tuple(_msgpack_body.decode(body))
        if content_type == JSON:
            return tuple(bytes.fromhex(text) for text in _json_body.decode(body).transactions)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Refused("bad_request", f"the body cannot be read as {content_type}: {error}") from None
    raise Refused("unsupported_media_type", f"send {JSON} or {MSGPACK}, not {content_type[:80]}")


def submit_result(result: Submission) -> api.SubmitResult:
    """One result as the API says it."""
    return api.SubmitResult(status=result.status, id=result.id.hex(), code=result.code, detail=result.detail)


async def transaction(node: Node, request: web.Request) -> api.Answer:
    """How far a transaction has come."""
    wanted = TransactionId(path_id(request))
    waiting = node.core.mempool.get(wanted)

    def read(reader: Reader) -> queries.TransactionStatus | None:
        return queries.transaction_status(reader, wanted, lambda _: waiting)

    found = await node.driver.query(read)
    if found is None:
        raise not_found(f"this validator has not heard of transaction {wanted.hex()}, or has pruned it")
    return api.TransactionAnswer(
        id=wanted.hex(),
        level=found.level.value,
        height=None if found.place is None else found.place.height,
        index=None if found.place is None else found.place.index,
        time_ms=found.time_ms,
        receipt=None if found.receipt is None else receipt_view(found.receipt),
        sent=[sent_status_view(each) for each in found.sent],
        call=None if found.call is None else begun_call(found.call),
    )


async def message(node: Node, request: web.Request) -> api.Answer:
    """What this shard knows of a message that it sent or consumed."""
    wanted = MessageId(path_id(request))
    found = await node.driver.query(lambda reader: queries.message_view(reader, wanted))
    if found is None:
        raise not_found(
            f"shard {node.shard} has neither sent nor consumed message {wanted.hex()}; ask the other shards"
        )
    return api.MessageAnswer(
        message_id=wanted.hex(),
        source=found.source,
        destination=found.destination,
        sequence=found.sequence,
        received=found.received,
        height=found.place.height,
        time_ms=found.time_ms,
        receipt=receipt_view(found.receipt),
        body=None if found.message is None else encode(found.message).hex(),
        status=None if found.status is None else sent_status_view(found.status),
        provable=found.provable,
    )


async def trace(node: Node, request: web.Request) -> api.Answer:
    """This shard's part of a trace."""
    wanted = TransactionId(path_id(request))
    found, part = await node.driver.query(
        lambda reader: (chain_store.receipts_naming(reader, wanted), trace_part(reader, wanted))
    )
    if not found and not part.hops:
        raise not_found(f"shard {node.shard} has no part in trace {wanted.hex()}")
    return api.TraceAnswer(
        trace_id=wanted.hex(),
        shard=node.shard,
        receipts=[
            api.PlacedReceipt(height=place.height, index=place.index, receipt=receipt_view(receipt))
            for place, receipt in found
        ],
        encoded_part=msgspec.msgpack.encode(part).hex(),
    )


async def message_proof(node: Node, request: web.Request) -> web.StreamResponse:
    """Proof that a message was sent, to be verified with the genesis alone."""
    wanted = MessageId(path_id(request))
    return octets(await node.driver.query(lambda reader: queries.message_proof(reader, wanted)))


OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/transactions",
        "submit",
        "Hand in signed transactions",
        submit,
        api.SubmitAnswer,
        body=((JSON, api.SubmitRequest), (MSGPACK, None)),
    ),
    Operation(
        "GET",
        "/v1/transactions/{id}",
        "transaction",
        "How far a transaction has come",
        transaction,
        api.TransactionAnswer,
        (Parameter("id", "path", "transaction id", "string"),),
    ),
    Operation(
        "GET",
        "/v1/messages/{id}",
        "message",
        "A message as this shard knows it",
        message,
        api.MessageAnswer,
        (Parameter("id", "path", "message id", "string"),),
    ),
    Operation(
        "GET",
        "/v1/traces/{id}",
        "trace",
        "This shard's receipts of a trace",
        trace,
        api.TraceAnswer,
        (Parameter("id", "path", "trace id: that of the first transaction", "string"),),
    ),
    Operation(
        "GET",
        "/v1/proofs/messages/{id}",
        "message_proof",
        "Exportable proof that this shard sent a message",
        message_proof,
        OCTETS,
        (Parameter("id", "path", "message id", "string"),),
    ),
)
