"""Calls of contracts: how they stand, and what repeats them elsewhere."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from aiohttp import web

from primitives.errors import Refused
from primitives.identifiers import CallId, Height
from primitives.storage import Reader
from shards.call_queries import CallView, call_view
from shards.calls.records import code_key, decode_code
from shards.chain_store import decode_receipt, executed_height, receipts_at, receipts_naming
from shards.node import api_contracts as api
from shards.node.api_types import Answer
from shards.node.contract_views import call_answer, record_answer
from shards.node.http_operations import Operation, Parameter, integer_parameter, not_found, path_id
from shards.node.node import Node
from shards.receipts import RunReceipt, RunState, TransactionReceipt

T = TypeVar("T")

MAX_HEIGHTS: Final = 1_000
"""Blocks that one answer looks at."""

MAX_RUNS: Final = 5_000
"""Runs in one answer, a megabyte of JSON; those of one block, some 700 at most, are not torn apart."""


async def _found(node: Node, request: web.Request, tell: Callable[[CallView], T]) -> T:
    """What `tell` says, on a reading thread, of the call that is named by its id or by that of its transaction."""
    wanted = path_id(request)

    def find(reader: Reader) -> CallView | None:
        for _, receipt in receipts_naming(reader, wanted):
            if isinstance(receipt, TransactionReceipt) and receipt.transaction_id == wanted and receipt.call_id:
                return call_view(reader, CallId(receipt.call_id))
        return call_view(reader, CallId(wanted))

    def read(reader: Reader) -> T | None:
        found = find(reader)
        return None if found is None else tell(found)

    told = await node.driver.query(read)
    if told is None:
        raise not_found(f"no contract of shard {node.shard} ran for {wanted.hex()}; it may be another shard's call")
    return told


async def call(node: Node, request: web.Request) -> Answer:
    """How a call stands."""
    return await _found(node, request, call_answer)


async def record(node: Node, request: web.Request) -> Answer:
    """What is needed to repeat a call."""
    found = await _found(node, request, lambda view: view)
    if any(run.note is None for run in found.runs):
        raise Refused("pruned", "this validator no longer has what repeats the call")
    raw = node.core.ledger.get(code_key(found.last.code_hash))
    if raw is None:
        raise Refused("pruned", "the code that ran was replaced since, and no call runs on it any more")
    return await asyncio.to_thread(record_answer, found, decode_code(raw).source)


async def runs(node: Node, request: web.Request) -> Answer:
    """Runs of contracts in executed blocks from a height on."""
    first = integer_parameter(request, "from", 1, low=1)
    limit = integer_parameter(request, "limit", MAX_HEIGHTS, low=1, high=MAX_HEIGHTS)

    def read(reader: Reader) -> api.RunsAnswer:
        height = executed_height(reader)
        found: list[api.PlacedRun] = []
        for each in range(first, min(first + limit, height + 1)):
            if len(found) >= MAX_RUNS:
                return api.RunsAnswer(height=height, runs=found, next=each)
            found += _runs_at(reader, Height(each))
        end = first + limit
        return api.RunsAnswer(height=height, runs=found, next=end if end <= height else None)

    return await node.driver.query(read)


def _runs_at(reader: Reader, height: Height) -> list[api.PlacedRun]:
    return [
        api.PlacedRun(
            height=height,
            call_id=receipt.call_id.hex(),
            contract=receipt.contract,
            method=receipt.method,
            run=receipt.run,
            state=RunState(receipt.state).name.lower(),
            gas_used=receipt.gas_used,
        )
        for raw in receipts_at(reader, height)
        if isinstance(receipt := decode_receipt(raw), RunReceipt)
    ]


_ID: Final = Parameter("id", "path", "call id, or id of the transaction that made the call", "string")

OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/runs",
        "runs",
        "Runs of contracts, with the gas they took",
        runs,
        api.RunsAnswer,
        (
            Parameter("from", "query", "first height, 1 when left out"),
            Parameter("limit", "query", f"heights to look at, at most {MAX_HEIGHTS}"),
        ),
    ),
    Operation("GET", "/v1/calls/{id}", "call", "A contract's call with its runs", call, api.CallAnswer, (_ID,)),
    Operation(
        "GET",
        "/v1/calls/{id}/record",
        "call_record",
        "What repeats a call elsewhere: source, answers, replies",
        record,
        api.RecordAnswer,
        (_ID,),
    ),
)
