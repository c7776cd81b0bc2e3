"""The rules that look at one place: each snippet marks where a finding is expected, and nowhere else."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from contracts.limits import MAX_SOURCE_BYTES
from contracts.machine.local import LocalMachine
from testnet.contract_check import Severity, check_files
from testnet.contract_check.surface_rules import machine_constant
from tests.contract_check.support import check_marks, findings

SNIPPETS = {
    "imports": """
        import time  # <- import
        import random, json  # <- import
        from os.path import join  # <- import
        from . import other  # <- import
        from ostraka_contract.testing import Shards  # <- import
        import collections.abc
        from decimal import Decimal

        def f():
            import socket  # <- import
        """,
    "builtins that the machine withholds": """
        def f(path):
            open(path)  # <- withheld
            return eval("1")  # <- withheld
        """,
    "the builtin is one's own function": """
        def open(number):
            return number

        def f(input):
            return open(input)
        """,
    "clocks": """
        from datetime import datetime, date, timezone

        def f():
            a = datetime.now(timezone.utc)  # <- clock
            b = date.today()  # <- clock
            return str(datetime.fromtimestamp(block.time, timezone.utc)), str(a), str(b)
        """,
    "floats": """
        def f(a):
            put("x", 0.5)  # <- float
            put("y", a / 2)  # <- float-kept
            emit("E", share=[a / 3])  # <- float-kept
            return a / 4  # <- float-kept

        def _half(a):
            return a / 2

        def g(a):
            put("z", a // 2)
            put("w", a * (a / 2 > 1))
        """,
    "decimals divide": """
        from decimal import Decimal

        def f(a):
            put("x", Decimal(a) / 2)
        """,
    "signatures": """
        @view  # not a finding of its own
        def init():  # <- signature
            return 1

        def migrate(version):  # <- signature
            put("version", version)

        def f(*, key):  # <- signature
            return key

        def g():  # <- generator
            yield 1

        def _h():
            yield 1

        def ok(a, b=1, *rest, key=None):
            return [a, b, rest, key]
        """,
    "module state": """
        cache = {}
        NAMES = ["a", "b"]
        total = 0

        def f(key):
            global total
            total += 1  # <- global-state
            cache[key] = 1  # <- global-state
            NAMES.append(key)  # <- global-state
            return NAMES[0], cache.get(key)

        def g():
            cache = {}
            cache["x"] = 1
            return cache
        """,
    "missing awaits": """
        async def f():
            price = call(1, "c", "m")
            put("x", call(1, "c", "m"))  # <- missing-await
            if call(1, "c", "m"):  # <- missing-await
                helper()  # <- missing-await
            gather(price)  # <- missing-await
            total = 1 + call(1, "c", "m")  # <- missing-await
            call(1, "c", "m")["x"]  # <- missing-await
            return call(1, "c", "m")  # <- missing-await

        async def helper():
            await call(1, "c", "m")
        """,
    "calls that nobody awaits are legal": """
        async def f():
            call(1, "c", "m")  # <- not-awaited
            later = call(1, "c", "m")
            calls = [call(n, "c", "m") for n in range(3)]
            await gather(later, *calls)

        def _ask():
            return call(1, "c", "m")
        """,
    "awaits of what is there at once": """
        def price(item):
            return get(item)

        def _ask():
            return call(1, "c", "m")

        async def f():
            await get("x")  # <- await
            await put("y", 1)  # <- await
            await price("x")  # <- await
            await [call(1, "c", "m")]  # <- await
            await lock("x")  # <- await
            await _ask()
        """,
    "arguments of call": """
        async def f(n, args):
            await call(1, "c", "m", timeout=3)  # <- keyword
            await call(1, "c", "m", item="owl", value=1)  # <- keyword
            await call("1", "c", "m")  # <- call-arguments
            await call(-1, "c", "m")  # <- call-arguments
            await call(1, "Shop", "m")  # <- call-arguments
            await call(1, "c", "_m")  # <- call-arguments
            await call(1, "c", "init")  # <- call-arguments
            await call(1, "c")  # <- call-arguments
            await call(1, "c", "m", value=-1)  # <- call-arguments
            await call(1, "c", "m", gas=5)  # <- call-arguments
            await call(1, "c", "m", deadline=1.5)  # <- call-arguments, float
            await call(1, "osk1xyz", "", value=5, gas=300)
            await call(*args)
            await call(n, "c", "m", *args, value=1, gas=50_000, deadline=5, patience=6)
            await gather(call(1, "c", "m"), return_exception=True)  # <- keyword
        """,
    "locks": """
        async def f():
            lock("x")  # <- lock
            with lock("x"):  # <- lock
                pass
            async with lock("x"), lock("y", lease=5):
                pass
            door = lock("x")
            async with door:
                pass
        """,
    "broad handlers around awaits": """
        async def f():
            try:
                await call(1, "c", "m")
            except Exception:  # <- broad-except
                pass
            try:
                await call(1, "c", "m")
            except:  # <- broad-except
                put("x", 1)
            try:
                await call(1, "c", "m")
            except (ValueError, ContractError) as error:  # <- broad-except
                print(error)

        async def g():
            try:
                await call(1, "c", "m")
            except OutcomeUnknown:
                put("x", 1)
            except Exception:
                pass
            try:
                await call(1, "c", "m")
            except Exception:
                print("failed")
                raise
            try:
                int("x")
            except Exception:
                pass
            try:
                await call(1, "c", "m")
            except CallFailed:
                pass
        """,
    "views that do more than read": """
        @view
        def f():
            put("x", 1)  # <- view
            return _note()

        def _note():
            emit("Seen")  # <- view
            return get("x")

        @view
        def g():
            return get("x")
        """,
    "a finding that is known": """
        async def f():
            call(1, "c", "m")  # check: ignore[not-awaited] - nobody needs to know
            call(1, "c", "m")  # check: ignore[float]  # <- not-awaited
        """,
    "the package by its own name": """
        import ostraka_contract as oc

        async def f():
            n = oc.get("n", 0)
            await oc.call(1, "c", "m", timeout=1)  # <- keyword
            oc.put("n", n)  # <- stale-write
        """,
}


@pytest.mark.parametrize("code", SNIPPETS.values(), ids=SNIPPETS)
def test_findings_stand_where_the_snippet_says(code: str, tmp_path: Path) -> None:
    check_marks(tmp_path, code)


def test_every_module_on_the_machines_list_can_be_imported(tmp_path: Path) -> None:
    imports = "\n".join(f"import {name}" for name in machine_constant("ALLOWED") if name != "__future__")
    assert findings(tmp_path, f"{imports}\n\ndef f():\n    pass\n") == []


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"def f(:\n    pass\n", "invalid syntax"),
        (b"def f():\n    return '\xff'\n", "not UTF-8"),
        (b"def f():\n    return '\0'\n", "NUL"),
        (b"x = 1\n", "1 to 256 public functions"),
        (b"def f():\n    pass\n" + b"#" * MAX_SOURCE_BYTES, "a contract has at most 65536"),
        (b"x = " + b"(" * 2000 + b"1" + b")" * 2000, "too many nested parentheses"),
    ],
)
def test_what_is_no_contract_is_one_clear_error(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "contract.py"
    path.write_bytes(raw)
    (finding,) = check_files([path], types=False)
    assert finding.severity is Severity.ERROR
    assert message in finding.message


def test_a_finding_is_one_line_that_an_editor_can_follow(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, "import os\n\ndef f():\n    pass\n")
    assert str(finding) == f"{tmp_path / 'contract.py'}:2:1: error: contracts cannot import 'os' [import]"
    assert "they can import: __future__, abc" in finding.hint


@pytest.fixture(scope="module")
def machine() -> LocalMachine:
    return LocalMachine()


def test_the_machine_refuses_what_deploying_would_refuse(tmp_path: Path, machine: LocalMachine) -> None:
    (finding,) = findings(tmp_path, "def f(:\n    pass\n", machine=machine)
    assert (finding.code, finding.line) == ("syntax", 2)
    assert findings(tmp_path, "def f():\n    return 1\n", machine=machine) == []


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python knows what the machine knows")
def test_syntax_that_only_the_machine_knows_is_a_note(tmp_path: Path, machine: LocalMachine) -> None:
    code = "def f[T](a: T) -> T:\n    return a\n"
    (finding,) = findings(tmp_path, code, machine=machine)
    assert finding.severity is Severity.NOTE
    assert "Python 3.14 takes this" in finding.message
    (finding,) = findings(tmp_path, code)
    assert finding.severity is Severity.ERROR


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is a tool of developers")
def test_types_are_checked_against_the_api(tmp_path: Path) -> None:
    code = """
        async def f(item: str) -> int:
            put(item, {1, 2})
            return call(1, "c", item) + "x"
        """
    found = {finding.line: finding.message for finding in findings(tmp_path, code, types=True)}
    assert "incompatible type" in found[3]
    assert 4 in found


def test_without_mypy_a_note_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testnet.contract_check.types.find_spec", lambda _name: None)
    (finding,) = findings(tmp_path, "def f():\n    pass\n", types=True)
    assert (finding.severity, finding.hint) == (Severity.NOTE, "pip install mypy")


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is a tool of developers")
def test_contracts_of_the_same_name_are_each_checked(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "token.py" for folder in ("a", "b")]
    for path, value in zip(paths, ("{1}", "1.5"), strict=True):
        path.parent.mkdir()
        path.write_text(f"from ostraka_contract import put\n\n\ndef f() -> None:\n    put('x', {value})\n")
    found = check_files(paths)
    assert [(finding.path, finding.code) for finding in found if finding.severity is Severity.ERROR] == [
        (paths[0], "arg-type"),
        (paths[1], "arg-type"),
    ]
