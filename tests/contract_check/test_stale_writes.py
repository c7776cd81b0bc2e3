"""Reads that an await makes old: each snippet marks where a finding is expected, and nowhere else."""

from pathlib import Path

import pytest

from tests.contract_check.support import check_marks, findings

STALE = {
    "a value read before an await and written after it": """
        async def f():
            total = get("total", 0)
            total += await call(1, "c", "m")
            put("total", total)  # <- stale-write
        """,
    "a check before an await and a claim after it": """
        async def f(item):
            if get(f"sold:{item}"):
                raise ValueError(item)
            await call(1, "c", "m")
            put(f"sold:{item}", msg.sender)  # <- stale-write
        """,
    "an old value written back although the key was claimed": """
        async def f():
            balance = get("balance", 0)
            put("balance", balance - 1)
            try:
                await call(1, "c", "m")
            except CallFailed:
                put("balance", balance)  # <- stale-write
        """,
    "a read in the same expression as the await": """
        async def f():
            put("total", get("total", 0) + await call(1, "c", "m"))  # <- stale-write
        """,
    "a read in the same expression as a helper that claims and awaits": """
        async def _claim():
            put("n", 0)
            return await call(1, "c", "m")

        async def f():
            put("n", get("n", 0) + await _claim())  # <- stale-write
        """,
    "an old value kept in a list": """
        async def f():
            held = []
            held.append(get("n", 0))
            put("n", 0)
            put("n", 1)
            await call(1, "c", "m")
            put("n", held[0])  # <- stale-write
        """,
    "an old value written back after a helper's await": """
        async def _ask():
            return await call(1, "c", "m")

        async def f():
            n = get("n", 0)
            put("n", n - 1)
            await _ask()
            put("n", n)  # <- stale-write
        """,
    "through an alias of the key": """
        async def f(who):
            key = f"balance/{who}"
            held = get(key, 0)
            await call(1, "c", "m")
            put(f"balance/{who}", held + 1)  # <- stale-write
        """,
    "through helpers that read and write": """
        def balance(who):
            return get(f"balance/{who}", 0)

        def set_balance(who, amount):
            put(f"balance/{who}", amount)  # <- stale-write

        async def f():
            held = balance(msg.sender)
            await call(1, "c", "m")
            set_balance(msg.sender, held - 1)
        """,
    "an await inside of a helper": """
        async def _ask():
            return await call(1, "c", "m")

        async def f():
            n = get("n", 0)
            await _ask()
            put("n", n + 1)  # <- stale-write
        """,
    "around a loop: the next turn writes what the last one read": """
        async def f():
            n = get("n", 0)
            for _ in range(3):
                put("n", n + 1)  # <- stale-write
                await call(1, "c", "m")
        """,
    "an await on one branch only": """
        async def f(far):
            n = get("n", 0)
            if far:
                await call(1, "c", "m")
            put("n", n + 1)  # <- stale-write
        """,
    "an object read, changed and put back": """
        async def f():
            order = get("order")
            order["price"] = await call(1, "c", "m")
            put("order", order)  # <- stale-write
        """,
    "a list appended to": """
        async def f():
            names = get("names", [])
            names.append(await call(1, "c", "m"))
            put("names", names)  # <- stale-write
        """,
    "a module constant as the key": """
        KEY = "n"

        async def f():
            n = get(KEY, 0)
            await call(1, "c", "m")
            put("n", n)  # <- stale-write
        """,
    "a lock that was let go before the await": """
        async def f():
            async with lock("n"):
                n = get("n", 0)
            await call(1, "c", "m")
            put("n", n)  # <- stale-write
        """,
    "inside of gathered coroutines": """
        async def _one(shard):
            n = get("n", 0)
            n += await call(shard, "c", "m")
            put("n", n)  # <- stale-write

        async def f(shards):
            await gather(*[_one(shard) for shard in shards])
        """,
    "in a handler and in finally": """
        async def f():
            n = get("n", 0)
            try:
                await call(1, "c", "m")
            except CallFailed:
                put("n", n - 1)  # <- stale-write
            finally:
                put("n", n)  # <- stale-write
        """,
    "deleted after an await": """
        async def f():
            if get("open"):
                await call(1, "c", "m")
                delete("open")  # <- stale-write
        """,
    "bound in a condition": """
        async def f():
            if (n := get("n", 0)) > 3:
                await call(1, "c", "m")
                put("n", n + 1)  # <- stale-write
        """,
    "read on one side of a conditional expression": """
        async def f(x):
            n = get("n", 0) if x else 1
            await call(1, "c", "m")
            put("n", n + 1)  # <- stale-write
        """,
    "gone through with an await for each": """
        async def f():
            for name in get("names", []):
                await call(1, "c", "m", name)
            put("names", [])  # <- stale-write
        """,
    "read to make the calls that are gathered": """
        async def f():
            answers = await gather(*[call(shard, "c", "m") for shard in get("shards")])
            put("shards", answers)  # <- stale-write
        """,
    "read by an async helper that does not await": """
        async def _read():
            return get("n", 0)

        async def f():
            n = await _read()
            await call(1, "c", "m")
            put("n", n + 1)  # <- stale-write
        """,
    "matched before the await": """
        async def f():
            match get("state"):
                case "open":
                    await call(1, "c", "m")
                    put("state", "closed")  # <- stale-write
        """,
    "summed up over awaits in a loop": """
        async def f():
            n = get("n", 0)
            while n < 3:
                n += await call(1, "c", "m")
            put("n", n)  # <- stale-write
        """,
    "read between making a call and awaiting it": """
        async def f():
            pending = call(1, "c", "m")
            n = get("n", 0)
            got = await pending
            put("n", n + got)  # <- stale-write
        """,
    "written in finally": """
        async def f():
            n = get("n", 0)
            try:
                await call(1, "c", "m")
            finally:
                put("n", n + 1)  # <- stale-write
        """,
    "arguments by keyword": """
        async def f():
            n = get("n", default=0)
            await call(1, "c", "m")
            put("n", value=n + 1)  # <- stale-write
        """,
    "through the module's name": """
        import ostraka_contract as o

        async def f():
            n = o.get("n", 0)
            await o.call(1, "c", "m")
            o.put("n", n + 1)  # <- stale-write
        """,
    "old values taken apart": """
        async def f():
            a, *rest = get("a", 0), get("b", 0), get("c", 0)
            put("a", 0)
            put("c", 0)
            await call(1, "c", "m")
            put("a", a)  # <- stale-write
            put("c", rest[1])  # <- stale-write
        """,
    "an old value kept as an item": """
        async def f():
            held = {}
            held["n"] = get("n", 0)
            put("n", 0)
            await call(1, "c", "m")
            put("n", held["n"])  # <- stale-write
        """,
    "a key that a helper makes": """
        def _key(who):
            return f"balance/{who}"

        async def f(who):
            held = get(_key(who), 0)
            await call(1, "c", "m")
            put(_key(who), held + 1)  # <- stale-write
        """,
    "a key made of what a function returned": """
        async def f(who):
            name = who.lower()
            held = get(f"balance/{name}", 0)
            await call(1, "c", "m")
            put(f"balance/{name}", held + 1)  # <- stale-write
        """,
    "read before the lock was taken": """
        async def f():
            n = get("n", 0)
            async with lock("n"):
                n += await call(1, "c", "m")
                put("n", n)  # <- stale-write
        """,
    "bound with an annotation": """
        async def f():
            n: int = get("n", 0)
            put("n", 0)
            await call(1, "c", "m")
            put("n", n)  # <- stale-write
        """,
    "handed to a helper by keyword": """
        def _set(*, key, amount):
            put(key, amount)  # <- stale-write

        async def f():
            n = get("n", 0)
            put("n", 0)
            await call(1, "c", "m")
            _set(amount=n, key="n")
        """,
    "read by one of several coroutines": """
        async def _ask(shard):
            seen = get("n", 0)
            return seen + await call(shard, "c", "m")

        async def f():
            found = await gather(_ask(1), _ask(2))
            put("n", sum(found))  # <- stale-write
        """,
    "read as a condition of a comprehension": """
        async def f(shards):
            await gather(*[call(shard, "c", "m") for shard in shards if get("n")])
            put("n", 1)  # <- stale-write
        """,
    "read as an argument of the call": """
        async def f():
            await call(1, "c", "m", get("n", 0))
            put("n", 0)  # <- stale-write
        """,
    "read again in a loop that may have no turn": """
        async def f(shards):
            n = get("n", 0)
            await call(1, "c", "m")
            for _ in shards:
                n = get("n", 0)
            put("n", n + 1)  # <- stale-write
        """,
    "in the handler of a returned await": """
        async def f():
            n = get("n", 0)
            try:
                return await call(1, "c", "m")
            except CallFailed:
                put("n", n + 1)  # <- stale-write
                return None
        """,
    "in finally, when every way out returns": """
        async def f():
            n = get("n", 0)
            try:
                return await call(1, "c", "m")
            finally:
                put("n", n + 1)  # <- stale-write
        """,
    "after a turn that went on to the next": """
        async def f(shards):
            n = get("n", 0)
            for shard in shards:
                if shard:
                    await call(shard, "c", "m")
                    continue
            put("n", n + 1)  # <- stale-write
        """,
    "read as the condition of a loop": """
        async def f():
            while get("open"):
                await call(1, "c", "m")
                put("open", False)  # <- stale-write
        """,
}

FRESH = {
    "read again after the await": """
        async def f():
            price = await call(1, "c", "m")
            put("total", get("total", 0) + price)
        """,
    "read before and again after the await": """
        async def f():
            if get("total", 0) > 10:
                raise ValueError
            price = await call(1, "c", "m")
            put("total", get("total", 0) + price)
        """,
    "claimed before the await": """
        async def f(item):
            if get(f"sold:{item}"):
                raise ValueError(item)
            put(f"sold:{item}", msg.sender)
            try:
                await call(1, "c", "m")
            except CallFailed:
                put(f"sold:{item}", None)
                return False
            return True
        """,
    "claimed inside of the try": """
        async def f(item):
            if get(f"sold:{item}"):
                raise ValueError(item)
            try:
                put(f"sold:{item}", msg.sender)
                await call(1, "c", "m")
            except CallFailed:
                put(f"sold:{item}", None)
        """,
    "taken by deleting and put back": """
        async def f(number):
            deal = get(f"deal/{number}")
            put(f"deal/{number}", None)
            try:
                await call(1, "c", "m")
            except CallFailed:
                put(f"deal/{number}", {**deal, "tries": 2})
        """,
    "under a lock": """
        async def f():
            async with lock("n"):
                n = get("n", 0)
                n += await call(1, "c", "m")
                put("n", n)
        """,
    "written to another key": """
        async def f():
            n = get("n", 0)
            await call(1, "c", "m")
            put("copy", n)
        """,
    "another item's key": """
        async def f(a, b):
            n = get(f"x/{a}", 0)
            await call(1, "c", "m")
            put(f"x/{b}", n)
        """,
    "never read": """
        async def f():
            await call(1, "c", "m")
            put("done", True)
        """,
    "a helper without an await is no await": """
        async def _check():
            if msg.value:
                raise ValueError

        async def f():
            n = get("n", 0)
            await _check()
            put("n", n + 1)
        """,
    "a helper that reads afresh": """
        def _add(amount):
            put("n", get("n", 0) + amount)

        async def f():
            if get("n", 0) > 10:
                raise ValueError
            _add(1)
            await call(1, "c", "m")
            _add(-1)
        """,
    "re-read on every turn": """
        async def f():
            for shard in range(3):
                got = await call(shard, "c", "m")
                put("n", get("n", 0) + got)
        """,
    "an await only where the method ends": """
        async def f(far):
            n = get("n", 0)
            if far:
                return await call(1, "c", "m")
            put("n", n + 1)
        """,
    "the loop's own variable in the key": """
        async def f(items):
            for item in items:
                seen = get(f"x/{item}", 0)
                put(f"x/{item}", seen + 1)
                await call(1, "c", "m", item)
        """,
    "read again as the loop's condition": """
        async def f():
            while get("n", 0) < 3:
                got = await call(1, "c", "m")
                put("n", get("n", 0) + got)
        """,
    "an old value in another key's name": """
        async def f():
            name = get("name")
            await call(1, "c", "m")
            put(f"x/{name}", 1)
        """,
    "two methods": """
        async def f():
            await call(1, "c", "m", get("n", 0))

        def g():
            put("n", 1)
        """,
    "the branch that awaits returns": """
        async def f(x):
            if get("n"):
                await call(1, "c", "m")
                return
            put("n", 1)
        """,
    "read again on the branch that awaits": """
        async def f(x):
            n = get("n", 0)
            if x:
                await call(1, "c", "m")
                n = get("n", 0)
            put("n", n + 1)
        """,
    "counted down again in finally": """
        async def f():
            put("open", get("open", 0) + 1)
            try:
                await call(1, "c", "m")
            finally:
                put("open", get("open", 0) - 1)
        """,
    "a helper under its caller's lock": """
        async def _work():
            n = get("n", 0)
            n += await call(1, "c", "m")
            put("n", n)

        async def f():
            async with lock("n"):
                await _work()
        """,
    "a helper that makes one key or another": """
        def _key(left):
            if left:
                return "left"
            return "right"

        async def f():
            held = get(_key(True), 0)
            await call(1, "c", "m")
            put(_key(False), held)
        """,
    "a name in the key that was bound anew": """
        async def f(names):
            name = names.pop()
            held = get(f"x/{name}", 0)
            await call(1, "c", "m")
            name = names.pop()
            put(f"x/{name}", held)
        """,
    "another attribute in the key": """
        async def f():
            held = get(f"x/{msg.sender}", 0)
            await call(1, "c", "m")
            put(f"x/{msg.contract}", held)
        """,
    "another sum in the key": """
        async def f(a, b):
            held = get(f"x/{a + b}", 0)
            await call(1, "c", "m")
            put(f"x/{a - b}", held)
        """,
    "an endless loop that reads again before it is left": """
        async def f():
            n = get("n", 0)
            await call(1, "c", "m")
            while True:
                n = get("n", 0)
                break
            put("n", n + 1)
        """,
}


@pytest.mark.parametrize("code", STALE.values(), ids=STALE)
def test_what_may_have_changed_during_an_await_is_pointed_at(code: str, tmp_path: Path) -> None:
    check_marks(tmp_path, code)


@pytest.mark.parametrize("code", FRESH.values(), ids=FRESH)
def test_what_is_safe_around_an_await_is_left_alone(code: str, tmp_path: Path) -> None:
    check_marks(tmp_path, code)


def test_a_stale_write_names_the_read_and_the_await(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, STALE["a value read before an await and written after it"])
    assert finding.message == "'total' is written here, was read in line 3, and an await lies between (line 4)"
    assert "read it again" in finding.hint


def test_deep_nesting_and_recursion_end(tmp_path: Path) -> None:
    loops = "".join(f"{'    ' * (n + 1)}for x{n} in range(2):\n" for n in range(18))
    code = f"async def f():\n{loops}{'    ' * 19}await call(1, 'c', 'm')\n\nasync def g():\n    await h()\n\n"
    code += "async def h():\n    await g()\n"
    assert findings(tmp_path, code) == []
