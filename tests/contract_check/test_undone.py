"""Effects that a raise undoes: each snippet marks where a finding is expected, and nowhere else."""

from pathlib import Path

import pytest

from tests.contract_check.support import check_marks

UNDONE = {
    "a put before a bare raise": """
        async def f():
            try:
                await call(1, "c", "m")
            except CallFailed:
                put("undone", True)  # <- undone-by-raise
                raise
        """,
    "a compensation after the awaited one": """
        async def f(item):
            put(f"sold:{item}", msg.sender)
            try:
                await call(1, "c", "m")
            except CallFailed:
                await call(1, "c", "release")
                put(f"sold:{item}", None)  # <- undone-by-raise
                raise
        """,
    "an event about the failure": """
        def f():
            emit("Failed")  # <- undone-by-raise
            raise ValueError
        """,
    "a payment and a call": """
        async def f(who):
            transfer(who, 5)  # <- undone-by-raise
            refund = call(1, "c", "refund")  # <- undone-by-raise
            raise ValueError(refund)
        """,
    "through a helper": """
        def _give_back():
            put("n", get("n", 0) + 1)  # <- undone-by-raise

        async def f():
            try:
                await call(1, "c", "m")
            except CallFailed:
                _give_back()
                raise
        """,
    "on both branches": """
        def f(a):
            put("n", 1)  # <- undone-by-raise
            if a:
                raise ValueError
            else:
                raise TypeError
        """,
}

KEPT = {
    "before the awaited compensation": """
        async def f():
            try:
                await call(1, "c", "m")
            except CallFailed:
                put("n", None)
                await call(1, "c", "release")
                raise
        """,
    "checked afterwards, on purpose": """
        def f(amount):
            put("n", get("n", 0) - amount)
            if get("n") < 0:
                raise ValueError
        """,
    "returned instead of raised": """
        async def f():
            try:
                await call(1, "c", "m")
            except CallFailed:
                put("n", None)
                return False
            return True
        """,
    "a raise that the method catches": """
        def f():
            try:
                put("n", 1)
                raise ValueError
            except ValueError:
                pass
        """,
    "a helper that one method raises after and another does not": """
        def _note():
            put("n", 1)

        def f():
            _note()
            raise ValueError

        def g():
            _note()
        """,
    "in a loop that goes on": """
        async def f():
            for shard in range(3):
                try:
                    await call(shard, "c", "m")
                except CallFailed:
                    put("n", 1)
                    continue
                raise ValueError
        """,
}


@pytest.mark.parametrize("code", UNDONE.values(), ids=UNDONE)
def test_what_a_raise_always_undoes_is_pointed_at(code: str, tmp_path: Path) -> None:
    check_marks(tmp_path, code)


@pytest.mark.parametrize("code", KEPT.values(), ids=KEPT)
def test_what_a_raise_may_undo_on_purpose_is_left_alone(code: str, tmp_path: Path) -> None:
    check_marks(tmp_path, code)
