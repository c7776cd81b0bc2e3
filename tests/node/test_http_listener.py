"""What the HTTP server does besides operations: its page for people, wrong methods, too many connections."""

import asyncio
import socket
from html.parser import HTMLParser

from aiohttp import ClientSession, web

from shards.node.http_api import OPERATIONS
from shards.node.http_listener import serve_on
from tests.node.support import Running


class Links(HTMLParser):
    """Collects what a page defines and what it refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.references: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.names.add(value)
            if name == "href" and value:
                self.references.add(value)


async def test_the_page_for_people_shows_every_operation_and_leads_nowhere_else(lone: Running) -> None:
    base = lone.clients[0].base_url
    async with lone.session.get(f"{base}/docs") as response:
        page = await response.text()
        assert (response.status, response.content_type) == (200, "text/html")
    links = Links()
    links.feed(page)
    assert {operation.name for operation in OPERATIONS} <= links.names
    assert {each[1:] for each in links.references if each.startswith("#")} <= links.names
    for outside in {each for each in links.references if not each.startswith("#")}:
        async with lone.session.get(base + outside) as response:
            assert response.status == 200
    assert "<script" not in page


async def test_a_wrong_method_is_told_the_right_ones(lone: Running) -> None:
    async with lone.session.put(lone.clients[0].base_url + "/v1/transactions") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_a_connection_beyond_the_bound_is_turned_away_and_those_before_it_are_served() -> None:
    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    application = web.Application()
    application.router.add_get("/", hello)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    server = await serve_on(runner, bound, max_connections=2)
    try:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in idle:  # the server has taken both once it has answered both
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        for reader, _ in idle:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        for _, each in (*idle, (reader, writer)):
            each.close()
            await each.wait_closed()
        while runner.server is not None and runner.server.connections:  # noqa: ASYNC110 - aiohttp tells nobody
            await asyncio.sleep(0)
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as response:
            assert await response.text() == "hello"
    finally:
        server.close()
        await runner.cleanup()
