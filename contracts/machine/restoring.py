"""Puts an instance's memory back to what it was: 0.04 ms instead of a new instance's 2 ms.

The engine maps the image's memory privately from the compiled file, and a contract's loaded state (`Snapshot`) is
mapped the same way from a file in memory. A page that a call has written is an anonymous page from then on, and Linux
(6.7) lists those with one ioctl, PAGEMAP_SCAN. Copying their first contents back leaves an instance that nothing can
tell from a fresh one: code is immutable, the stack pointer is back where it was after a call that returned, and an
instance whose memory has grown, or whose call did not return, is not restored at all. Where any of this is not to be
had, every call simply gets a fresh instance; results and gas are the same.

A page becomes anonymous in a page fault and stays so. The kernel counts the faults of a process; as long as their
number stands still, the pages written are among those that the last scan has listed, and there is none to be done.
"""

import ctypes
import fcntl
import mmap
import os
import resource
import struct
import sys
from pathlib import Path
from typing import Final, NamedTuple

from contracts import limits
from primitives.errors import OstrakaError

MAX_RESTORED_BYTES: Final = 2 << 20
"""Copied after each call, 0.2 ms. When more was written, the memory is mapped anew, or a fresh instance made: once, for
the call that wrote it, where copying would go on after every later one."""

MAX_RANGES: Final = 1024
"""Of pages written; common calls leave about a hundred."""

_RANGE: Final = struct.Struct("QQQ")
"""struct page_region: start, end, categories."""

GROWTH_BYTES: Final = 1 << 16
"""What WebAssembly calls a page; memory grows by these."""

_PAGEMAP_SCAN: Final = (3 << 30) | (96 << 16) | (ord("f") << 8) | 16
_FILE: Final = 1 << 2
_PRESENT: Final = 1 << 3
_SWAPPED: Final = 1 << 4
_ZERO: Final = 1 << 5
"""linux/fs.h: the request's number and the categories of pages."""

_MADV_POPULATE_READ: Final = 22
_MADV_HUGEPAGE: Final = 14
_MAP_FIXED: Final = 0x10
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class MachineUnfit(OstrakaError):
    """This computer cannot run contracts as the others do."""


class Region(NamedTuple):
    """Addresses of a linear memory that are in use."""

    start: int
    end: int


class Memory:
    """An instance's linear memory, and the pages of it that are known to have been written."""

    def __init__(self, region: Region) -> None:
        self.region: Final = region
        size = region.end - region.start
        self.content: Final = memoryview((ctypes.c_char * size).from_address(region.start)).cast("B")
        self.faults = -1
        """Of the process, when `written` was complete; -1: it is not."""
        self.written: list[tuple[memoryview, memoryview]] = []
        """Ranges of pages, each with what they are restored to."""

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content)


class _Scan(ctypes.Structure):
    """struct pm_scan_arg."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "size",
            "flags",
            "start",
            "end",
            "walk_end",
            "ranges",
            "ranges_length",
            "max_pages",
            "category_inverted",
            "category_mask",
            "category_anyof_mask",
            "return_mask",
        )
    )


class Snapshot:
    """What a memory held at one moment; other instances' memories can be made to hold it."""

    def __init__(self, memory: Memory) -> None:
        self.size: Final = memory.size
        self._file: Final = os.memfd_create("ostraka-contract")
        try:
            os.ftruncate(self._file, self.size)
            self.content: Final = memoryview(mmap.mmap(self._file, self.size))
        except OSError:
            os.close(self._file)
            raise
        self.content[:] = memory.content

    def map_over(self, memory: Memory, libc: ctypes.CDLL) -> None:
        """Make a memory of the same size hold this."""
        memory.faults = -1
        memory.written.clear()
        start = memory.region.start
        libc.mmap.restype = ctypes.c_void_p
        address = libc.mmap(
            ctypes.c_void_p(start),
            ctypes.c_size_t(self.size),
            mmap.PROT_READ | mmap.PROT_WRITE,
            mmap.MAP_PRIVATE | _MAP_FIXED,
            self._file,
            ctypes.c_size_t(0),
        )
        if address != start:
            raise OSError(ctypes.get_errno(), "a contract's loaded state cannot be mapped")

    def close(self) -> None:
        """Give the file back; memories that were mapped from it keep what they hold."""
        os.close(self._file)  # what is mapped of it goes with the last view


class Restorer:
    """Restores instances of one image, of which `compiled` is the file."""

    def __init__(self, compiled: Path) -> None:
        self._name: Final = str(compiled.resolve())
        self._deleted: Final = f"{self._name} (deleted)"
        """Its name in the list of mappings after somebody cleared the cache."""
        self._fresh = memoryview(b"")
        self._ranges: Final = ctypes.create_string_buffer(MAX_RANGES * _RANGE.size)
        self._found: Final = memoryview(self._ranges).cast("B")
        self._libc: Final = ctypes.CDLL(None, use_errno=True)
        self._pagemap: Final = _open_pagemap()
        self.sees_memory: Final = sys.platform == "linux"
        """Elsewhere growth is not priced; machines of different systems are different machines."""
        if self.sees_memory and not self._is_readable(ctypes.addressof(self._ranges) // _PAGE * _PAGE):
            raise MachineUnfit("contracts need Linux 5.14 or newer: which memory is in use cannot be told")

    def memories(self) -> frozenset[Region]:
        """The linear memories of all live instances; a guard area lies before and behind each."""
        if not self.sees_memory:
            return frozenset()
        found = set()
        start = end = 0
        ours = False
        for line in Path("/proc/self/maps").read_text().splitlines():
            addresses, rights, _offset, _device, _inode, *name = line.split(maxsplit=5)
            low, high = (int(address, 16) for address in addresses.split("-"))
            if rights != "rw-p" or low != end:
                if ours:
                    found.add(Region(start, end))
                start, ours = low, False
            end = high if rights == "rw-p" else 0
            ours = ours or (rights == "rw-p" and name in ([self._name], [self._deleted]))
        return frozenset(found)

    def remember(self, fresh: Region) -> Memory:
        """Keep what a fresh instance's memory holds; the first one speaks for all."""
        memory = Memory(fresh)
        # What it may grow into comes in large pages: a program that fills it takes half the time.
        room = ctypes.c_size_t(limits.MAX_MEMORY_BYTES - memory.size)
        self._libc.madvise(ctypes.c_void_p(fresh.end), room, _MADV_HUGEPAGE)
        if len(self._fresh) != memory.size:
            self._fresh = memoryview(bytes(memory.content))
        return memory

    def snapshot(self, memory: Memory) -> Snapshot | None:
        """Keep what a memory holds now, as what it will be restored to; None when that is not to be had."""
        if self._pagemap is None or self.growth(memory):
            return None
        try:
            snapshot = Snapshot(memory)
        except OSError:
            return None
        snapshot.map_over(memory, self._libc)
        return snapshot

    def adopt(self, memory: Memory, snapshot: Snapshot) -> None:
        """Make a fresh instance's memory hold a snapshot."""
        snapshot.map_over(memory, self._libc)

    def restore(self, memory: Memory, snapshot: Snapshot | None = None) -> bool:
        """Undo every write since the instance was fresh, or since the snapshot was mapped over its memory.

        False when that is not to be had, and it must be dropped.
        """
        if self._pagemap is None or self.growth(memory):
            return False
        if memory.faults != _faults():
            known = self._learn(memory, self._fresh if snapshot is None else snapshot.content)
            if not known and snapshot is not None:
                snapshot.map_over(memory, self._libc)
            if not known:
                return snapshot is not None
        for written, first in memory.written:
            written[:] = first
        memory.faults = _faults()
        return True

    def _learn(self, memory: Memory, first: memoryview) -> bool:
        """List the pages that were written; False when there are too many to be copied."""
        count = self._scan(memory.region)
        if count is None:
            return False
        content, base, size = memory.content, memory.region.start, 0
        memory.written.clear()
        for start, end, _categories in _RANGE.iter_unpack(self._found[: count * _RANGE.size]):
            low, high = start - base, end - base
            memory.written.append((content[low:high], first[low:high]))
            size += high - low
        return size <= MAX_RESTORED_BYTES

    def growth(self, memory: Memory) -> int:
        """By how many times `GROWTH_BYTES` the memory has grown."""
        end = memory.region.end
        if not self._is_readable(end):  # a guard page
            return 0
        low, high = 1, (limits.MAX_MEMORY_BYTES - memory.size) // GROWTH_BYTES
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._is_readable(end + (middle - 1) * GROWTH_BYTES) else (low, middle - 1)
        return low

    def _is_readable(self, address: int) -> bool:
        """Whether a page can be read."""
        answer: int = self._libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(_PAGE), _MADV_POPULATE_READ)
        return answer == 0

    def _scan(self, memory: Region) -> int | None:
        """Number of ranges of pages written, which are in `_found`."""
        scan = _Scan(
            size=ctypes.sizeof(_Scan),
            start=memory.start,
            end=memory.end,
            ranges=ctypes.addressof(self._ranges),
            ranges_length=MAX_RANGES,
            category_inverted=_FILE | _ZERO,
            category_mask=_FILE | _ZERO,
            category_anyof_mask=_PRESENT | _SWAPPED,
        )
        try:
            count = fcntl.ioctl(self._pagemap or 0, _PAGEMAP_SCAN, scan)
        except OSError:
            return None
        return None if count >= MAX_RANGES else count


def _faults() -> int:
    """Page faults of this process, in all its threads, so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt


def _open_pagemap() -> int | None:
    """A descriptor for as long as the process lives, or None where there is no such file."""
    if sys.platform != "linux":
        return None
    try:
        return os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
