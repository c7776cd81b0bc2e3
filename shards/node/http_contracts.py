"""Contracts: what is deployed, what it stores, and its methods run as views and estimates on this validator alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiohttp import web

from contracts.gas import DEFAULT_CALL_GAS, RESTART_GAS
from contracts.limits import MAX_KEY_BYTES
from contracts.outcomes import Invocation, Outcome, OutOfGas, Suspended
from contracts.values import MAX_VALUE_BYTES, BadValue, decode, encode
from primitives.amounts import MAX_AMOUNT, Amount, pack_amount
from primitives.errors import NotYet, Refused
from shards.calls.arrivals import RESERVED_METHODS
from shards.calls.records import code_key, contract_key, decode_contract, storage_key
from shards.node import api_contracts as api
from shards.node.api_types import Answer
from shards.node.contract_views import (
    contract_view,
    decoded,
    failure_view,
    planned_call,
    result_of,
    state_of,
    value_json,
)
from shards.node.http_operations import DEFAULT_PAGE, MAX_PAGE, Operation, Parameter, integer_parameter
from shards.node.json_values import from_json, to_json
from shards.node.node import Node
from shards.node.proved_views import ProvedWorld
from shards.node.snapshots import Snapshot, SnapshotWorld, end_of
from shards.node.state_proofs import PROOF_ATTEMPTS, prove_keys
from shards.node.view_desk import MAX_RUN_GAS, Deployed, asked_run, deployed

SPARE: Final = 2
"""A method that never awaits takes this much less than what is suggested for it."""

AWAITING_SPARE: Final = 10
"""One that awaits repeats what it has done so far at each reply."""

MAX_ASK_BYTES: Final = 12 * MAX_VALUE_BYTES
"""Of a request with arguments: in JSON a value takes up to eight times the bytes that it has encoded."""

MAX_STORAGE_BYTES: Final = 128 * 1024
"""Encoded values in one page of storage: a second of a thread at the worst, to read them and write them in JSON."""

_body: Final = msgspec.json.Decoder(api.AskRequest)


async def contracts(node: Node, request: web.Request) -> Answer:
    """List contracts in order of their names."""
    after = request.query.get("after", "")
    limit = integer_parameter(request, "limit", DEFAULT_PAGE, low=1, high=MAX_PAGE)
    names = node.snapshots.contracts_after(after, limit + 1)
    ledger = node.core.ledger
    # A contract of the block that is about to be applied has a name and no record yet.
    known = [name for name in names[:limit] if ledger.get(contract_key(name)) is not None]
    shown = [contract_view(deployed(name, ledger.get), node.shard, ledger.height, source=False) for name in known]
    following = names[limit - 1] if len(names) > limit else None
    return api.ContractsAnswer(height=ledger.height, contracts=shown, next=following)


async def contract(node: Node, request: web.Request) -> Answer:
    """Read one contract, with its source on request."""
    source = bool(integer_parameter(request, "source", 0, high=1))
    ledger = node.core.ledger
    return contract_view(_named(node, request), node.shard, ledger.height, source=source)


def _named(node: Node, request: web.Request) -> Deployed:
    return deployed(request.match_info["name"], node.core.ledger.get)


async def storage(node: Node, request: web.Request) -> Answer:
    """List what a contract stores, in order of keys."""
    found = _named(node, request)
    prefix, after = (_key_bytes(request.query.get(name, ""), name) for name in ("prefix", "after"))
    limit = integer_parameter(request, "limit", DEFAULT_PAGE, low=1, high=MAX_PAGE)
    ledger = node.core.ledger
    whole = storage_key(found.name, b"")
    raw_keys = [whole + prefix] if prefix > after and ledger.get(whole + prefix) is not None else []
    raw_keys += ledger.keys_between(whole + max(prefix, after), end_of(whole + prefix), limit + 1)
    page: list[tuple[bytes, bytes]] = []
    size = 0
    for key in raw_keys[:limit]:
        raw = ledger.get(key) or b""
        size += len(raw)
        if size > MAX_STORAGE_BYTES and page:
            break
        page.append((key[len(whole) :], raw))
    height, is_cut = ledger.height, len(raw_keys) > len(page)
    entries = await asyncio.to_thread(lambda: [_entry(key, raw) for key, raw in page])
    following = entries[-1].key if is_cut else None
    return api.StorageAnswer(contract=found.name, height=height, entries=entries, next=following)


def _key_bytes(text: str, name: str) -> bytes:
    raw = text.encode(errors="replace")
    if len(raw) > MAX_KEY_BYTES:
        raise Refused("bad_parameter", f"{name}: a key has at most {MAX_KEY_BYTES} bytes")
    return raw


def _entry(key: bytes, raw: bytes) -> api.EntryView:
    return api.EntryView(key=key.decode(errors="replace"), value=value_json(raw), encoded=raw.hex())


async def stored(node: Node, request: web.Request) -> Answer:
    """Read one key of a contract's storage, on request with a proof."""
    found = _named(node, request)
    text = request.match_info["key"]
    key = storage_key(found.name, _key_bytes(text, "key"))
    ledger = node.core.ledger
    height, raw, evidence = ledger.height, ledger.get(key), None
    if integer_parameter(request, "proof", 0, high=1):
        proved = await prove_keys(node, [key])
        height, raw, evidence = proved.height, proved.values[key], proved.evidence()
    return api.StoredAnswer(
        contract=found.name,
        height=height,
        key=text,
        found=raw is not None,
        value=await asyncio.to_thread(value_json, raw or b""),
        encoded=(raw or b"").hex(),
        proof=evidence,
    )


async def _asked(request: web.Request) -> tuple[api.AskRequest, bytes]:
    """What a view or an estimate is asked for, with its encoded arguments."""
    body = await request.read()
    if len(body) > MAX_ASK_BYTES:
        raise Refused("too_large", f"the body has {len(body)} bytes; arguments are written in {MAX_ASK_BYTES} at most")
    return await asyncio.to_thread(_read_request, body)


def _read_request(body: bytes) -> tuple[api.AskRequest, bytes]:
    try:
        asked = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("bad_request", f"the body is no request for a method: {error}") from None
    if asked.arguments is not None and asked.encoded:
        raise Refused("bad_request", "give the arguments once, as values or encoded")
    if not asked.encoded:
        return asked, encode(from_json(asked.arguments or []), max_bytes=MAX_VALUE_BYTES)
    try:
        raw = bytes.fromhex(asked.encoded)
        if not isinstance(decode(raw), list):
            raise BadValue("arguments are a list")
    except (BadValue, ValueError) as error:
        raise Refused("bad_value", f"the encoded arguments: {error}") from None
    return asked, raw


def _invocation(node: Node, found: Deployed, asked: api.AskRequest, arguments: bytes) -> Invocation:
    amount = int(asked.value)
    if amount > MAX_AMOUNT:
        raise Refused("bad_value", "the value is more than any amount can be")
    plain = asked_run(found, node.shard, asked.method, arguments)
    return msgspec.structs.replace(
        plain,
        sender=asked.sender or plain.sender,
        value=pack_amount(Amount(amount)),
        gas=min(asked.gas or MAX_RUN_GAS, MAX_RUN_GAS),
    )


def _check_method(found: Deployed, method: str, *, view: bool) -> None:
    """Refuse what the contract does not have before a worker is asked."""
    known = {each.name: each for each in found.code.methods if each.name not in RESERVED_METHODS}
    if method not in known:
        listed = ", ".join(sorted(known)[:12])
        raise Refused("no_method", f"{found.name} has no method {method[:64]!r}; it has {listed}")
    if view and not known[method].view:
        raise Refused("not_a_view", f"{found.name}.{method} is no view: it may write, so call it with a transaction")


@asynccontextmanager
async def _snapshot(node: Node, request: web.Request) -> AsyncIterator[Snapshot]:
    """The state as it is when one's turn comes, for as long as that lasts; who has hung up gets no turn."""
    async with node.views.turn():
        if request.transport is None:
            raise ConnectionResetError("the client has gone")
        with node.snapshots.open() as snapshot:
            yield snapshot


async def view(node: Node, request: web.Request) -> Answer:
    """Run a view on the state after the latest block."""
    asked, arguments = await _asked(request)
    _check_method(_named(node, request), asked.method, view=True)
    async with _snapshot(node, request) as snapshot:
        found = deployed(request.match_info["name"], snapshot.get)
        world = SnapshotWorld(snapshot, found.name)
        plain = _invocation(node, found, asked, arguments)
        call = msgspec.structs.replace(plain, height=snapshot.height, time_ms=snapshot.time_ms)
        outcome = await node.views.run(call, world)
    if not asked.proof:
        return await asyncio.to_thread(_view_answer, call, outcome)
    if world.has_listed:
        raise _not_provable()
    return await _proved_view(node, found, call, list(world.keys_read))


def _not_provable() -> Refused:
    return Refused("not_provable", "the view lists keys, and the state has proofs of single keys only")


async def _proved_view(node: Node, found: Deployed, call: Invocation, keys: list[bytes]) -> Answer:
    """Run a view on proved entries only, as whoever checks it will."""
    keys = list(dict.fromkeys([contract_key(found.name), code_key(found.record.code_hash), *keys]))
    for _ in range(PROOF_ATTEMPTS):
        proved = await prove_keys(node, keys)
        code = code_key(decode_contract(proved.values[keys[0]] or b"").code_hash)
        if code not in proved.values:  # upgraded meanwhile
            keys.append(code)
            continue
        at = deployed(found.name, proved.values.get)
        world = ProvedWorld(proved.values, at)
        call = msgspec.structs.replace(
            call, code_hash=at.record.code_hash, height=proved.height, time_ms=proved.time_ms
        )
        async with node.views.turn():
            outcome = await node.views.run(call, world)
        if world.has_listed:
            raise _not_provable()
        if not world.missing:
            answer = await asyncio.to_thread(_view_answer, call, outcome)
            return msgspec.structs.replace(answer, proof=proved.evidence())
        keys += world.missing
    raise NotYet("the contract changes faster than the view can be proved; ask again")


def _view_answer(call: Invocation, outcome: Outcome) -> api.ViewAnswer:
    result = result_of(outcome)
    return api.ViewAnswer(
        contract=call.contract,
        height=call.height,
        time_ms=call.time_ms,
        result=to_json(decoded(result)),
        encoded=result.hex(),
        gas_used=outcome.cost.used,
        log=list(outcome.log),
        failure=failure_view(outcome),
    )


async def estimate(node: Node, request: web.Request) -> Answer:
    """Try a call's first stretch on the state after the latest block; nothing of it is kept."""
    asked, arguments = await _asked(request)
    _check_method(_named(node, request), asked.method, view=False)
    async with _snapshot(node, request) as snapshot:
        found = deployed(request.match_info["name"], snapshot.get)
        plain = _invocation(node, found, asked, arguments)
        call = msgspec.structs.replace(plain, height=snapshot.height, time_ms=snapshot.time_ms)
        outcome = await node.views.run(call, SnapshotWorld(snapshot, found.name, int(asked.value)))
    return api.EstimateAnswer(
        contract=found.name,
        height=call.height,
        state=state_of(outcome),
        gas_used=outcome.cost.used,
        gas_sent=outcome.cost.sent,
        suggested_gas=suggested_gas(outcome),
        calls=await asyncio.to_thread(lambda: [planned_call(each) for each in outcome.effects.calls]),
        failure=failure_view(outcome),
    )


def suggested_gas(outcome: Outcome) -> int:
    """Gas to give a call of which this is the first stretch; never more than a block has for it."""
    used, sent = outcome.cost.used + RESTART_GAS, outcome.cost.sent  # every run has to have that in hand
    if isinstance(outcome, Suspended | OutOfGas):
        return min(AWAITING_SPARE * used + sent + SPARE * DEFAULT_CALL_GAS, MAX_RUN_GAS)
    return min(SPARE * used + sent, MAX_RUN_GAS)


_NAME: Final = Parameter("name", "path", "the contract's name", "string")
_JSON: Final = "application/json"

OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/contracts",
        "contracts",
        "Contracts of this shard, in order of their names",
        contracts,
        api.ContractsAnswer,
        (
            Parameter("after", "query", "only names after this one", "string"),
            Parameter("limit", "query", f"at most {MAX_PAGE}"),
        ),
    ),
    Operation(
        "GET",
        "/v1/contracts/{name}",
        "contract",
        "A contract, with its source on request",
        contract,
        api.ContractView,
        (_NAME, Parameter("source", "query", "1 for the source")),
    ),
    Operation(
        "GET",
        "/v1/contracts/{name}/storage",
        "storage",
        "What a contract stores, in order of keys",
        storage,
        api.StorageAnswer,
        (
            _NAME,
            Parameter("prefix", "query", "only keys that begin with it", "string"),
            Parameter("after", "query", "only keys after this one", "string"),
            Parameter("limit", "query", f"at most {MAX_PAGE}"),
        ),
    ),
    Operation(
        "GET",
        "/v1/contracts/{name}/storage/{key:.+}",
        "stored",
        "One key of a contract's storage, with a proof on request",
        stored,
        api.StoredAnswer,
        (
            _NAME,
            Parameter("key", "path", "the key, percent-encoded", "string"),
            Parameter("proof", "query", "1 for a proof under the certificate of the answer's height"),
        ),
    ),
    Operation(
        "POST",
        "/v1/contracts/{name}/view",
        "view",
        "Run a view here, on request with proofs of what it read",
        view,
        api.ViewAnswer,
        (_NAME,),
        ((_JSON, api.AskRequest),),
    ),
    Operation(
        "POST",
        "/v1/contracts/{name}/estimate",
        "estimate",
        "Try a call here and say what gas it takes",
        estimate,
        api.EstimateAnswer,
        (_NAME,),
        ((_JSON, api.AskRequest),),
    ),
)
