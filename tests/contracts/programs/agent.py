"""Does as it is told: a call of `play` is a list of steps, so that a test can make up programs."""

from typing import Any

from ostraka_contract import (
    CallFailed,
    ContractError,
    Data,
    OutcomeUnknown,
    call,
    delete,
    emit,
    gather,
    get,
    keys,
    msg,
    put,
    self_balance,
    transfer,
    view,
)


class Told(Exception):
    """As a step has it."""


def init(*arguments: Data) -> None:
    put("init", [msg.sender, msg.value, list(arguments)])


def nothing() -> None:
    pass


def say(text: Data) -> Data:
    return text


def keep(key: str, value: Data) -> Data:
    put(key, value)
    return value


def add(key: str, number: int) -> int:
    total: int = get(key, 0) + number
    put(key, total)
    return total


def fail(text: str) -> None:
    put("failed", text)
    raise Told(text)


def who() -> list[object]:
    return [msg.sender, msg.value, msg.shard]


def burn() -> None:
    while True:
        pass


@view
def held() -> int:
    return self_balance()


async def play(steps: list[Any]) -> list[Any]:
    """Take the steps in order; what they find is returned."""
    found: list[Any] = []
    await _play(steps, found, {})
    return found


async def _play(steps: list[Any], found: list[Any], made: dict[str, Any]) -> None:
    for step in steps:
        match step:
            case ["put", key, value]:
                put(key, value)
            case ["delete", key]:
                delete(key)
            case ["get", key]:
                found.append(get(key))
            case ["keys", prefix]:
                found.append(keys(prefix))
            case ["call", name, shard, contract, method, arguments, options]:
                made[name] = call(shard, contract, method, *arguments, **options)
            case ["await", name]:
                found.append(await made[name])
            case ["ask", shard, contract, method, arguments, options]:
                found.append(await call(shard, contract, method, *arguments, **options))
            case ["gather", branches]:
                await gather(*[_play(branch, found, made) for branch in branches])
            case ["gather_calls", names]:
                found.append(await gather(*[made[name] for name in names]))
            case ["try", inner]:
                try:
                    await _play(inner, found, made)
                except CallFailed as error:
                    found.append([error.kind, error.error, error.message, error.returned])
                except OutcomeUnknown:
                    found.append("unknown")
                except ContractError as error:
                    found.append([type(error).__name__, str(error)])
            case ["finally", inner, last]:
                try:
                    await _play(inner, found, made)
                finally:
                    await _play(last, found, made)
            case ["times", count, inner]:
                for _ in range(count):
                    await _play(inner, found, made)
            case ["transfer", to, amount]:
                transfer(to, amount)
            case ["emit", name, data]:
                emit(name, **data)
            case ["held"]:
                found.append(self_balance())
            case ["work", count]:
                found.append(len([n for n in range(count) for _ in range(20)]) // 20)
            case ["fail", text]:
                raise Told(text)
            case _:
                raise Told(f"no step: {step}")


async def dive(levels: int, shards: list[int], gas: int) -> int:
    """Call itself, on these shards in turn, so many levels deep; each level keeps `gas`."""
    if not levels:
        return 0
    below: int = await call(shards[levels % len(shards)], "agent", "dive", levels - 1, shards, gas, gas=gas * levels)
    return 1 + below
