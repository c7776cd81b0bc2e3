"""Disks and clocks that fail on purpose: the store takes it for the real thing."""

import errno
import os
import time
from pathlib import Path

import pytest

from primitives.identifiers import Milliseconds
from primitives.instant import Instant
from primitives.storage import Write
from shards.node.faults import StorageFault
from shards.node.injection.clock import SkewedClock
from shards.node.injection.disk import FaultyDisk
from shards.node.injection.faults import DiskEffect, DiskFault
from shards.node.storage import LmdbStore


@pytest.mark.parametrize(("effect", "number"), [("full", errno.ENOSPC), ("eio", errno.EIO)])
def test_a_commit_that_fails_on_purpose_stops_the_store_as_a_real_one_does(
    tmp_path: Path, effect: DiskEffect, number: int
) -> None:
    store = LmdbStore(tmp_path / "store", tables=("one",))
    store.commit([Write("one", b"before", b"kept")])
    store.disturb = FaultyDisk([DiskFault(effect=effect)])
    with pytest.raises(StorageFault, match=os.strerror(number)):
        store.commit([Write("one", b"lost", b"x")])
    store.disturb = None
    with pytest.raises(StorageFault, match="failed before and takes nothing more"):
        store.commit([Write("one", b"after", b"x")])
    store.close()
    again = LmdbStore(tmp_path / "store", tables=("one",))
    with again.reader() as reader:
        assert list(reader.scan("one")) == [(b"before", b"kept")]
    again.close()


def test_a_slow_disk_takes_its_time_and_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    store = LmdbStore(tmp_path / "store", tables=("one",))
    store.disturb = FaultyDisk([DiskFault(effect="slow", delay_ms=200), DiskFault(effect="slow", delay_ms=50)])
    store.commit([Write("one", b"key", b"value")])
    assert slept == [0.2, 0.05]
    with store.reader() as reader:
        assert reader.get("one", b"key") == b"value"
    store.close()


def test_a_skewed_clock_is_off_in_the_time_of_day_only() -> None:
    clock = SkewedClock(lambda: Instant(5_000, Milliseconds(1_000_000)))
    assert clock() == Instant(5_000, Milliseconds(1_000_000))
    clock.offset_ms = -900
    assert clock() == Instant(5_000, Milliseconds(999_100))
    clock.offset_ms = -2_000_000
    assert clock() == Instant(5_000, Milliseconds(0)), "there is no time before 1970"
