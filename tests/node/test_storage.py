"""The stores on real files: atomic, durable, checked, bounded."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from primitives.errors import InvariantViolated
from primitives.identifiers import ZERO_HASH, BlockId, Hash, Height
from primitives.storage import Write, integer_key
from shards.node.faults import StorageFault
from shards.node.records import Sealer
from shards.node.state_store import Applied, StateStore
from shards.node.storage import LmdbStore

TABLES = ("one", "two")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    opened = LmdbStore(tmp_path / "store", tables=TABLES)
    yield opened
    opened.close()


def read_all(store: LmdbStore) -> dict[tuple[str, bytes], bytes]:
    with store.reader() as reader:
        return {(table, key): value for table in TABLES for key, value in reader.scan(table)}


_writes = st.lists(
    st.builds(Write, st.sampled_from(TABLES), st.binary(min_size=1, max_size=4), st.none() | st.binary(max_size=20)),
    max_size=20,
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_writes, max_size=4), st.binary(max_size=3), st.none() | st.binary(max_size=3))
def test_it_reads_and_scans_like_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, commits: list[list[Write]], start: bytes, end: bytes | None
) -> None:
    model: dict[tuple[str, bytes], bytes] = {}
    store = LmdbStore(tmp_path_factory.mktemp("store"), tables=TABLES)
    try:
        for writes in commits:
            store.commit(writes)
            for table, key, value in writes:
                if value is None:
                    model.pop((table, key), None)
                else:
                    model[table, key] = value
        with store.reader() as reader:
            for table in TABLES:
                pairs = sorted((key, value) for (where, key), value in model.items() if where == table)
                within = [pair for pair in pairs if pair[0] >= start and (end is None or pair[0] < end)]
                assert list(reader.scan(table, start, end)) == within
                assert list(reader.scan(table, start, end, reverse=True)) == within[::-1]
                assert all(reader.get(table, key) == value for key, value in pairs)
                assert reader.get(table, b"absent key") is None
                assert reader.get(table, b"") is None
                assert reader.get(table, bytes(600)) is None
    finally:
        store.close()


def test_a_snapshot_does_not_see_later_commits(store: LmdbStore) -> None:
    store.commit([Write("one", b"k", b"old")])
    with store.reader() as reader:
        store.commit([Write("one", b"k", b"new")])
        assert reader.get("one", b"k") == b"old"
    with store.reader() as reader:
        assert reader.get("one", b"k") == b"new"


def test_the_map_grows_while_readers_come_and_go(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "store", tables=TABLES, map_bytes=2**20)
    done = threading.Event()
    seen: list[int] = []

    def keep_reading() -> None:
        while not done.is_set():
            seen.append(len(read_all(store)))

    reading = threading.Thread(target=keep_reading)
    reading.start()
    try:
        for number in range(40):
            store.commit([Write("one", integer_key(number), bytes([number]) * 200_000)])
    finally:
        done.set()
        reading.join()
    assert store.map_bytes >= 2**23
    assert read_all(store) == {("one", integer_key(n)): bytes([n]) * 200_000 for n in range(40)}
    assert seen == sorted(seen)
    store.close()


def test_keys_that_lmdb_cannot_hold_and_unknown_tables_are_our_mistakes(store: LmdbStore) -> None:
    for bad in (Write("one", b"", b"x"), Write("one", bytes(512), b"x"), Write("three", b"k", b"x")):
        with pytest.raises(InvariantViolated):
            store.commit([Write("one", b"good", b"x"), bad])
    assert read_all(store) == {}


def test_a_value_is_bound_to_its_table_and_key() -> None:
    sealed = Sealer("one").seal(b"k", b"v")
    assert Sealer("one").open(b"k", sealed) == b"v"
    for table, key, raw in (
        ("two", b"k", sealed),
        ("one", b"j", sealed),
        ("one", b"k", sealed + b"x"),
        ("one", b"k", b""),
    ):
        with pytest.raises(StorageFault):
            Sealer(table).open(key, raw)


FLIP_PROBE = """
import os, sys
from pathlib import Path
from tests.node.test_storage import TABLES, probe_value, PROBE_KEYS
from primitives.identifiers import ZERO_HASH, BlockId, Hash, Height
from primitives.storage import integer_key
from shards.node.faults import StorageFault
from shards.node.storage import LmdbStore

def probe(folder):
    try:
        store = LmdbStore(folder, tables=TABLES)
        if sys.argv[2] == "walk":
            store.check()
        with store.reader() as reader:
            values = [reader.get(TABLES[n % 2], integer_key(n)) for n in range(PROBE_KEYS)]
    except StorageFault:
        return 4
    wrong = [n for n in range(PROBE_KEYS) if values[n] not in (probe_value(n), None)]
    return 1 if wrong else 3 if None in values else 0

folder = Path(sys.argv[1])
file = folder / "data.mdb"
good = file.read_bytes()
for place in map(int, sys.argv[3].split(",")):
    file.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
    child = os.fork()  # LMDB itself may crash on a damaged page
    if not child:
        os._exit(probe(folder))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(place, status)
"""

PROBE_KEYS = 120


def probe_value(number: int) -> bytes:
    return bytes([number]) * (30 * number)


@pytest.fixture
def probed(tmp_path: Path) -> Path:
    store = LmdbStore(tmp_path / "store", tables=TABLES)
    for number in range(PROBE_KEYS):
        store.commit([Write(TABLES[number % 2], integer_key(number), probe_value(number))])
    store.close()
    return tmp_path / "store"


def flip_bits(folder: Path, mode: str, places: list[int]) -> list[int]:
    """Outcome of opening and reading everything with one bit flipped, for each place."""
    listed = ",".join(map(str, places))
    command = [sys.executable, "-c", FLIP_PROBE, str(folder), mode, listed]
    done = subprocess.run(command, check=True, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    outcomes = [line.split() for line in done.stdout.decode().splitlines()]
    assert [int(place) for place, _ in outcomes] == places
    return [int(outcome) for _, outcome in outcomes]


def test_a_flipped_bit_is_found_at_start_up_or_harmless(probed: Path) -> None:
    size = (probed / "data.mdb").stat().st_size
    # Both meta pages densely (there a commit could be taken back), every other page at a few places.
    places = [*range(0, 200, 3), *range(4096, 4296, 3)]
    places += [
        place for page in range(2, size // 4096) for place in range(page * 4096 + page % 61, (page + 1) * 4096, 1531)
    ]
    outcomes = flip_bits(probed, "walk", places)
    # 0: everything as written. 4: found. Negative: LMDB crashed, which is loud too. Never: a wrong or missing value.
    assert {outcome for outcome in outcomes if outcome >= 0} == {0, 4}


def test_a_flipped_bit_in_a_file_too_large_to_walk_never_yields_a_wrong_value(probed: Path) -> None:
    size = (probed / "data.mdb").stat().st_size
    outcomes = flip_bits(probed, "read", list(range(8192 + 7, size, 1999)))
    assert 1 not in outcomes
    assert 4 in outcomes


CRASH = """
import sys
from pathlib import Path
from primitives.identifiers import ZERO_HASH, BlockId, Hash, Height
from primitives.storage import Write, integer_key
from shards.node.storage import LmdbStore
store = LmdbStore(Path(sys.argv[1]), tables=("one", "two"), map_bytes=2**20)
for number in range(10**9):
    store.commit([Write(table, integer_key(number), bytes([number % 256]) * 3000) for table in ("one", "two")])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("after", [0, 3, 40, 200, 333])
def test_a_kill_at_any_moment_loses_nothing_acknowledged_and_tears_nothing(tmp_path: Path, after: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", CRASH, str(tmp_path / "store")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    acknowledged = -1
    while acknowledged < after:
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    for line in process.stdout.read().splitlines(keepends=True):
        if line.endswith(b"\n"):
            acknowledged = int(line)
    process.stdout.close()
    process.wait()
    store = LmdbStore(tmp_path / "store", tables=TABLES)
    assert store.check()
    with store.reader() as reader:
        one, two = list(reader.scan("one")), list(reader.scan("two"))
    assert one == two
    assert [int.from_bytes(key, "big") for key, _ in one] == list(range(len(one)))
    assert len(one) > acknowledged
    store.close()


def test_a_full_disk_ends_the_store_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "store", tables=TABLES)
    store.commit([Write("one", b"kept", b"value")])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.size_bytes() + 20_000, before[1]))
    try:
        with pytest.raises(StorageFault, match="committing failed"):
            store.commit([Write("one", integer_key(number), bytes(50_000)) for number in range(10)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    # There is room again, but nobody knows what the failed write left behind: it stays closed.
    with pytest.raises(StorageFault, match="failed before"):
        store.commit([Write("one", b"more", b"value")])
    store.close()
    again = LmdbStore(tmp_path / "store", tables=TABLES)
    assert again.check()
    assert read_all(again)["one", b"kept"] == b"value"
    again.close()


def test_what_the_walk_of_the_structure_finds_stops_the_start(
    store: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.check()
    monkeypatch.setattr("shards.node.storage.verify_structure", lambda _: ["page 7 is free and in use"])
    with pytest.raises(StorageFault, match="page 7 is free and in use"):
        store.check()


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    for content in (b"", b"x" * 100, os.urandom(8192)):
        (tmp_path / "store" / "data.mdb").write_bytes(content)
        with pytest.raises(StorageFault):
            LmdbStore(tmp_path / "store", tables=TABLES)


def test_the_state_is_flushed_with_its_mark_in_one_commit(tmp_path: Path) -> None:
    state = StateStore(tmp_path / "state")
    assert state.load() is None
    first = Applied(height=Height(3), block_id=BlockId(ZERO_HASH), state_root=ZERO_HASH)
    state.flush(first, {b"b": b"2", b"a": b"1", b"c": b""})
    assert state.load() == (first, [(b"a", b"1"), (b"b", b"2"), (b"c", b"")])
    second = Applied(height=Height(9), block_id=BlockId(ZERO_HASH), state_root=Hash(bytes([1]) * 32))
    state.flush(second, {b"a": None, b"b": b"22"})
    assert state.load() == (second, [(b"b", b"22"), (b"c", b"")])
    state.close()
