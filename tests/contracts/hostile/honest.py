"""Touches what hostile programs patch: its outcome and gas must not depend on who ran before."""

import decimal
import hashlib
import json

from ostraka_contract import emit, get, keys, msg, put


def work(n: int) -> list[object]:
    put("k", {"n": n, "who": msg.sender})
    emit("Worked", n=n)
    third = decimal.Decimal(n) / 3
    text = json.dumps({"a": [n, str(third)]})
    return [
        get("k"), keys(""), text, hashlib.sha256(text.encode()).hexdigest(), len(text), sorted({text, "x"}),
        id(object()), hash(object()), repr(object()),
    ]  # fmt: skip
