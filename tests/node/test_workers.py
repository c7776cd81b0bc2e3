"""The threads for long work: what they verify, and what they need not verify again."""

import asyncio
from collections.abc import Sequence

import pytest

from primitives.identifiers import PublicKey, SecretSeed, Signature
from primitives.signatures import ED25519
from shards.node import workers as module
from shards.node.faults import Stopping
from shards.node.metrics import NodeMetrics
from shards.node.workers import CHUNK_SIGNATURES, SignedItem, Workers

SEED = SecretSeed(bytes(range(32)))


class Counting:
    """The real scheme; counts what it is asked to verify."""

    def __init__(self) -> None:
        self.verified: list[SignedItem] = []

    def public_key(self, seed: SecretSeed) -> PublicKey:
        return ED25519.public_key(seed)

    def sign(self, seed: SecretSeed, message: bytes) -> Signature:
        return ED25519.sign(seed, message)

    def verify_many(self, items: Sequence[SignedItem]) -> list[bool]:
        self.verified += items
        return ED25519.verify_many(items)


def signed(number: int) -> SignedItem:
    message = number.to_bytes(4, "big")
    return ED25519.public_key(SEED), message, ED25519.sign(SEED, message)


def forged(number: int) -> SignedItem:
    key, message, signature = signed(number)
    return key, message + b"!", signature


async def verdicts(workers: Workers, items: Sequence[SignedItem]) -> tuple[bool, ...]:
    answer: asyncio.Future[tuple[bool, ...]] = asyncio.get_running_loop().create_future()
    workers.verify(items, answer.set_result)
    return await answer


def _never(error: BaseException) -> None:
    raise AssertionError(error)


async def test_verdicts_come_in_the_order_of_the_items_and_good_signatures_are_verified_once() -> None:
    scheme = Counting()
    workers = Workers(scheme, NodeMetrics(), _never)
    try:
        items = [forged(number) if number % 3 == 0 else signed(number) for number in range(2 * CHUNK_SIGNATURES + 5)]
        expected = tuple(number % 3 != 0 for number in range(len(items)))
        assert await verdicts(workers, items) == expected
        first = len(scheme.verified)
        assert first == len(items)
        assert await verdicts(workers, items[::-1]) == expected[::-1]
        assert len(scheme.verified) - first == expected.count(False), "what was bad is looked at again"
    finally:
        workers.close()


async def test_the_same_signature_twice_in_one_batch_has_two_verdicts() -> None:
    workers = Workers(ED25519, NodeMetrics(), _never)
    try:
        assert await verdicts(workers, [signed(1), forged(1), signed(1), forged(1)]) == (True, False, True, False)
    finally:
        workers.close()


async def test_a_remembered_signature_vouches_for_no_other_key_or_message() -> None:
    workers = Workers(ED25519, NodeMetrics(), _never)
    try:
        items = [signed(number) for number in range(4)]
        assert all(await verdicts(workers, items))
        key, message, signature = items[0]
        other = ED25519.public_key(SecretSeed(bytes(32)))
        longer = PublicKey(key + signature[:1]), message, Signature(signature[1:])
        changed: list[SignedItem] = [(other, message, signature), (key, message + b"\0", signature), longer]
        assert await verdicts(workers, changed) == (False, False, False)
    finally:
        workers.close()


async def test_only_the_latest_good_signatures_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED_SIGNATURES", 4)
    scheme = Counting()
    workers = Workers(scheme, NodeMetrics(), _never)
    try:
        for begin in (0, 3, 6):
            await verdicts(workers, [signed(begin + number) for number in range(3)])
        scheme.verified.clear()
        await verdicts(workers, [signed(number) for number in range(9)])
        assert len(scheme.verified) == 9 - 4
    finally:
        workers.close()


async def test_a_job_that_was_ended_because_the_validator_ends_is_no_fault_and_any_other_error_is() -> None:
    failures: list[BaseException] = []
    unexpected: list[int] = []
    workers = Workers(ED25519, NodeMetrics(), failures.append)

    def end(error: Exception) -> int:
        raise error

    done = asyncio.Event()
    try:
        workers.execute(lambda: end(Stopping("it stops")), unexpected.append)
        workers.execute(lambda: end(ValueError("ours")), unexpected.append)
        workers.execute(lambda: None, lambda _: done.set())
        await asyncio.wait_for(done.wait(), 10)
        assert [type(error) for error in failures] == [ValueError]
        assert unexpected == []
    finally:
        workers.close()
