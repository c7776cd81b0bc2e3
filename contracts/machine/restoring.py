"""Puts an instance's memory back to what it was: 0.1 ms instead of a new instance's 2 ms.

The engine maps the image's memory privately from the compiled file, and a contract's loaded state (`Snapshot`) is
mapped the same way from a file in memory. A page that a call has written is an anonymous page from then on, and Linux
(6.7) lists those with one ioctl, PAGEMAP_SCAN. Copying their first contents back leaves an instance that nothing can
tell from a fresh one: code is immutable, the stack pointer is back where it was after a call that returned, and an
instance whose memory has grown, or whose call did not return, is not restored at all. Where any of this is not to be
had, every call simply gets a fresh instance; results and gas are the same.
"""

import ctypes
import fcntl
import mmap
import os
import struct
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from contracts import limits

MAX_RESTORED_BYTES: Final = 8 << 20
"""Copying more costs what a fresh instance costs."""

MAX_RANGES: Final = 1024
"""Of pages written; common calls leave about a hundred."""

VIEWS: Final = 64
"""Of memories, by address; an address that is used again gets an equal one."""

_RANGE: Final = struct.Struct("QQQ")
"""struct page_region: start, end, categories."""

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


class Region(NamedTuple):
    """Addresses of a linear memory that are in use."""

    start: int
    end: int


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

    def __init__(self, memory: Region) -> None:
        self.size: Final = memory.end - memory.start
        self._file: Final = os.memfd_create("ostraka-contract")
        try:
            os.ftruncate(self._file, self.size)
            self._mapped: Final = mmap.mmap(self._file, self.size)
        except OSError:
            os.close(self._file)
            raise
        self.content: Final = memoryview(self._mapped)
        self.content[:] = _bytes_of(memory)

    def map_over(self, memory: Region, libc: ctypes.CDLL) -> None:
        """Make a memory of the same size hold this."""
        libc.mmap.restype = ctypes.c_void_p
        address = libc.mmap(
            ctypes.c_void_p(memory.start),
            ctypes.c_size_t(self.size),
            mmap.PROT_READ | mmap.PROT_WRITE,
            mmap.MAP_PRIVATE | _MAP_FIXED,
            self._file,
            ctypes.c_size_t(0),
        )
        if address != memory.start:
            raise OSError(ctypes.get_errno(), "a contract's loaded state cannot be mapped")

    def close(self) -> None:
        """Give the file back; memories that were mapped from it keep what they hold."""
        self.content.release()
        self._mapped.close()
        os.close(self._file)


class Restorer:
    """Restores instances of one image, of which `compiled` is the file."""

    def __init__(self, compiled: Path) -> None:
        self._name: Final = str(compiled)
        self._fresh = memoryview(b"")
        self._ranges: Final = ctypes.create_string_buffer(MAX_RANGES * _RANGE.size)
        self._found: Final = memoryview(self._ranges).cast("B")
        self._libc: Final = ctypes.CDLL(None, use_errno=True)
        self._pagemap: Final = _open_pagemap()

    def memories(self) -> frozenset[Region]:
        """The linear memories of all live instances; a guard area lies before and behind each."""
        if self._pagemap is None:
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
            ours = ours or (rights == "rw-p" and name == [self._name])
        return frozenset(found)

    def remember(self, fresh: Region) -> None:
        """Keep what a fresh instance's memory holds; the first one speaks for all."""
        # What it may grow into comes in large pages: a program that fills it takes half the time.
        room = ctypes.c_size_t(limits.MAX_MEMORY_BYTES - (fresh.end - fresh.start))
        self._libc.madvise(ctypes.c_void_p(fresh.end), room, _MADV_HUGEPAGE)
        if len(self._fresh) != fresh.end - fresh.start:
            self._fresh = memoryview(bytes(_bytes_of(fresh)))

    def snapshot(self, memory: Region) -> Snapshot | None:
        """Keep what a memory holds now, as what it will be restored to; None when that is not to be had."""
        if self._pagemap is None or self._has_grown(memory):
            return None
        try:
            snapshot = Snapshot(memory)
        except OSError:
            return None
        snapshot.map_over(memory, self._libc)
        return snapshot

    def adopt(self, memory: Region, snapshot: Snapshot) -> None:
        """Make a fresh instance's memory hold a snapshot."""
        snapshot.map_over(memory, self._libc)

    def restore(self, memory: Region, snapshot: Snapshot | None = None) -> bool:
        """Undo every write since the instance was fresh, or since the snapshot was mapped over its memory.

        False when that is not to be had, and it must be dropped.
        """
        if self._pagemap is None or self._has_grown(memory):
            return False
        count = self._scan(memory)
        if count is None:
            return False
        fresh = self._fresh if snapshot is None else snapshot.content
        content, base, copied = _bytes_of(memory), memory.start, 0
        for low, high, _categories in _RANGE.iter_unpack(self._found[: count * _RANGE.size]):
            content[low - base : high - base] = fresh[low - base : high - base]
            copied += high - low
        return copied <= MAX_RESTORED_BYTES

    def _has_grown(self, memory: Region) -> bool:
        """Whether the page behind the memory can be read, which is a guard page unless the memory has grown."""
        answer: int = self._libc.madvise(ctypes.c_void_p(memory.end), ctypes.c_size_t(_PAGE), _MADV_POPULATE_READ)
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


@lru_cache(maxsize=VIEWS)
def _bytes_of(memory: Region) -> memoryview:
    """A memory as bytes, as long as it is one."""
    return memoryview((ctypes.c_char * (memory.end - memory.start)).from_address(memory.start)).cast("B")


def _open_pagemap() -> int | None:
    """A descriptor for as long as the process lives, or None where there is no such file."""
    if sys.platform != "linux":
        return None
    try:
        return os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
