"""The socket that faults come through: for its user alone, with limits, and only where faults are allowed."""

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from primitives.errors import Refused
from shards.genesis import ChainContext
from shards.node.injection import admin, board
from shards.node.injection.admin import MAX_SOCKET_PATH, AdminServer, Json, ask_node
from shards.node.injection.board import FaultBoard
from shards.node.injection.faults import ClockFault, Fault, Order
from tests.node.fakes import a_log
from tests.node.support import RULES, make_configs, make_context, running, until


def clock_order(name: str = "skew-1", lasts_ms: int | None = None) -> Order:
    return Order(name=name, text="skew s0/v0 +5ms", faults=(ClockFault(offset_ms=5),), lasts_ms=lasts_ms)


def refuse_large(fault: Fault) -> None:
    if isinstance(fault, ClockFault) and fault.offset_ms > 100:
        raise Refused("no_such_fault", "too large for this node")


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Path, FaultBoard]]:
    path = folder / "admin.sock"
    made = FaultBoard(refuse_large, lambda _: None)
    with a_log(folder) as log:
        server = AdminServer(path, made, log)
        await server.start()
        try:
            yield path, made
        finally:
            await server.close()
    assert not path.exists()


async def ask(path: Path, request: Json) -> Json:
    return await asyncio.to_thread(ask_node, path, request)


def put(order: Order) -> Json:
    return {"do": "put", "order": msgspec.to_builtins(order)}


async def test_faults_are_put_listed_and_healed_through_the_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as (path, made):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await ask(path, put(clock_order("skew-1")))
        await ask(path, put(clock_order("skew-2", lasts_ms=60_000)))
        first, second = (await ask(path, {"do": "list"}))["faults"]
        assert (first["name"], first["left_ms"], first["faults"][0]["offset_ms"]) == ("skew-1", None, 5)
        assert 59_000 < second["left_ms"] <= 60_000
        assert (await ask(path, {"do": "heal", "name": "nothing"}))["healed"] == []
        assert (await ask(path, {"do": "heal", "name": "skew-2"}))["healed"] == ["skew-2"]
        assert (await ask(path, {"do": "heal"}))["healed"] == ["skew-1"]
        assert made.listing() == ()
        with pytest.raises(Refused, match="too large for this node"):
            await ask(path, put(Order(name="x", text="", faults=(ClockFault(offset_ms=101),))))


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"do": 5}',
        b'{"do": "melt"}',
        b'{"do": "put"}',
        b'{"do": "put", "order": 7}',
        b'{"do": "heal", "name": 7}',
        b"[" * 50_000,
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_stays(tmp_path: Path, line: bytes) -> None:
    async with served(tmp_path) as (path, _):
        reader, writer = await asyncio.open_unix_connection(str(path))
        for request in (line, b'{"do": "list"}'):
            writer.write(request + b"\n")
        refused, answered = msgspec.json.decode(await reader.readline()), msgspec.json.decode(await reader.readline())
        assert (refused["ok"], refused["code"], answered) == (False, "malformed", {"ok": True, "faults": []})
        writer.close()


async def test_a_line_that_is_too_long_ends_its_connection_and_nothing_else(tmp_path: Path) -> None:
    async with served(tmp_path) as (path, _):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"x" * (2 * admin.MAX_LINE_BYTES))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        assert (await ask(path, {"do": "list"}))["faults"] == []


async def test_there_are_so_many_connections_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "MAX_CONNECTIONS", 1)
    async with served(tmp_path) as (path, _):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"do": "list"}\n')
        assert await reader.readline()
        with pytest.raises(Refused, match="unreachable"):
            await ask(path, {"do": "list"})
        writer.close()

        async def room() -> bool:
            try:
                return bool(await ask(path, {"do": "list"}))
            except Refused:
                return False

        await until(room)


async def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    assert len(str(deep / "admin.sock")) > MAX_SOCKET_PATH
    await asyncio.to_thread(deep.mkdir, parents=True)
    async with served(deep) as (path, _):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (await ask(path, {"do": "list"}))["faults"] == []


async def test_a_fault_ends_when_its_time_is_over_and_one_that_replaced_it_does_not() -> None:
    changes: list[int] = []
    made = FaultBoard(refuse_large, lambda changed: changes.append(len(changed.listing())))
    made.put(clock_order("short", lasts_ms=20))
    made.put(clock_order("kept", lasts_ms=20))
    made.put(clock_order("kept"))

    async def alone() -> bool:
        return [each.name for each in made.listing()] == ["kept"]

    await until(alone)
    assert changes == [1, 2, 2, 1]
    assert made.of_kind(ClockFault) == (ClockFault(offset_ms=5),)


async def test_a_board_holds_so_many_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "MAX_ORDERS", 1)
    made = FaultBoard(refuse_large, lambda _: None)
    made.put(clock_order("one"))
    made.put(clock_order("one"))
    with pytest.raises(Refused, match="too_many"):
        made.put(clock_order("two"))


def test_a_socket_where_nobody_listens_is_said_to_be_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"unreachable.*No such file"):
        ask_node(tmp_path / "admin.sock", {"do": "list"})


@pytest.mark.parametrize("development", [True, False])
async def test_only_a_validator_of_a_development_chain_takes_faults(tmp_path: Path, *, development: bool) -> None:
    genesis = msgspec.structs.replace(make_context(validators=1).genesis, development=development)
    configs = make_configs(tmp_path, ChainContext(genesis), rules=RULES)
    path = tmp_path / "admin.sock"
    async with running([replace(config, admin_socket=path) for config in configs]):
        if not development:
            assert not path.exists()
            return
        await ask(path, put(clock_order()))
        assert [each["name"] for each in (await ask(path, {"do": "list"}))["faults"]] == ["skew-1"]
    assert not path.exists()
