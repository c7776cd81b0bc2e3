"""What is remembered so that a long time without finality costs nothing: it says what a walk over everything says."""

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.block import block_id_of
from consensus.chain import Chain, Path
from consensus.journal import Tip
from consensus.messages import (
    MAX_GAP_NULLIFICATIONS,
    Certificate,
    Finalize,
    Justification,
    Notarize,
    Nullify,
    Proposal,
    ViewsRequest,
)
from consensus.nullified import NullifiedViews
from consensus.views import GENESIS_VIEW, Views
from primitives.codec import encode
from primitives.identifiers import BlockId, Epoch, Hash, Height, View
from tests.consensus.makers import (
    GENESIS,
    GENESIS_MS,
    CheapScheme,
    make_block,
    make_certificate,
    make_committee,
    make_proposed,
)
from tests.consensus.solo import Made, Solo

SCHEME = CheapScheme()
COMMITTEE = make_committee(4, SCHEME)
QUORUM = [0, 1, 2]
LAST = 14
"""Highest view of the drawn ones."""


# Views


def _proposal(view: int, parent: int = 0) -> Proposal:
    return Proposal(Epoch(0), View(view), View(parent), BlockId(bytes([view]) * 32), Hash(bytes(32)))


def _certificate(statement: Notarize | Nullify | Finalize) -> Certificate:
    return make_certificate(COMMITTEE, statement, QUORUM)


NULLIFICATIONS = [_certificate(Nullify(Epoch(0), View(view))) for view in range(LAST + 1)]
NOTARIZATIONS = [_certificate(Notarize(_proposal(view))) for view in range(LAST + 1)]
FINALIZATIONS = [_certificate(Finalize(_proposal(view))) for view in range(LAST + 1)]


def _walked_parent(views: Views, view: int) -> View | int:
    """The parent to choose, or minus the view that is not known, by looking at each."""
    for below in range(view - 1, views.finalized, -1):
        state = views.get(View(below))
        if state is not None and state.is_certified:
            return View(below)
        if state is None or state.nullification is None:
            return -below
    return views.finalized


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from("nnncccef"), st.integers(1, LAST)), max_size=40))
def test_parents_and_gaps_are_those_that_looking_at_every_view_finds(steps: list[tuple[str, int]]) -> None:
    views = Views(COMMITTEE, SCHEME, 3, GENESIS)
    for what, number in steps:
        view = View(number)
        state = views.at(view)
        if what == "n" and state.nullification is None and view > views.finalized:
            views.store(NULLIFICATIONS[view])
        elif what == "c" and state.notarization is None and view > views.finalized:
            views.certify(views.store(NOTARIZATIONS[view]))
        elif what == "e" and view > views.current:
            assert all(old.tally is None for old in views.enter(view))
        elif what == "f" and state.finalization is None and view > views.finalized:
            views.store(FINALIZATIONS[view])
            views.prune()
        assert [each.view for each in views.unsettled()] == sorted(
            (v for v in map(View, range(views.finalized + 1, LAST + 1)) if views.get(v) is not None), reverse=True
        )
        for view in map(View, range(views.finalized + 1, LAST + 2)):
            found, walked = views.choose_parent(view), _walked_parent(views, view)
            assert (-found.last if isinstance(found, ViewsRequest) else found) == walked
            for parent in range(views.finalized, view):
                missing = views.missing_evidence(_proposal(min(view, 255), parent))
                gaps = [v for v in range(parent + 1, view) if not _is_nullified(views, v)]
                if gaps:
                    assert missing is not None
                    assert missing.last == gaps[-1]
                else:
                    assert missing is None or missing.last == parent


def _is_nullified(views: Views, number: int) -> bool:
    state = views.get(View(number))
    return state is not None and state.nullification is not None


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 60), max_size=80), st.integers(0, 60))
def test_the_highest_view_missing_is_found_in_whatever_order_the_others_came(added: list[int], last: int) -> None:
    nullified = NullifiedViews()
    for place, view in enumerate(added):
        nullified.add(View(view))
        asked = added[place // 2]
        assert nullified.highest_missing(View(asked)) == _missing(set(added[: place + 1]), asked)
    nullified.forget(View(last))
    for asked in range(last + 1, 61):
        found, true = nullified.highest_missing(View(asked)), _missing(set(added), asked)
        assert max(found, last) == max(true, last)


def _missing(views: set[int], asked: int) -> int:
    while asked in views:
        asked -= 1
    return asked


# The chain


class PlainChain:
    """The same promises, kept by walking over everything."""

    def __init__(self) -> None:
        self.tip = Tip(Height(0), GENESIS, GENESIS_MS)
        self.held: dict[BlockId, tuple[int, BlockId]] = {}
        """Height and parent."""

    def path(self, block_id: BlockId) -> tuple[list[BlockId], BlockId | None, bool]:
        blocks: list[BlockId] = []
        while block_id != self.tip.block_id:
            if block_id not in self.held:
                beside = bool(blocks) and self.held[blocks[-1]][0] <= self.tip.height + 1
                return blocks[::-1], None if beside else block_id, beside
            blocks.append(block_id)
            block_id = self.held[block_id][1]
        return blocks[::-1], None, False

    def advance(self, tip: Tip) -> None:
        self.tip = tip
        gone = {key for key, (height, _) in self.held.items() if height <= tip.height or self.path(key)[2]}
        self.held = {key: held for key, held in self.held.items() if key not in gone}


def _as_plain(path: Path) -> tuple[list[BlockId], BlockId | None, bool]:
    assert path.contents == tuple(held.block for held in path.blocks)
    return [held.block_id for held in path.blocks], path.missing, path.conflicts


@pytest.mark.parametrize("seed", range(60))
def test_ways_to_the_tip_are_those_of_a_walk_whatever_comes_goes_and_is_finalized(seed: int) -> None:
    """Also with blocks of heights that are not their parent's and one: a faulty leader makes up any."""
    draw = random.Random(seed)
    chain, plain = Chain(Tip(Height(0), GENESIS, GENESIS_MS)), PlainChain()
    blocks = [make_block(COMMITTEE, GENESIS, 1, GENESIS_MS + 1)]
    for number in range(24):
        over = draw.choice(blocks[-5:])
        height = over.header.height + draw.choice([1, 1, 1, 1, 1, 1, 1, 0, 2, 40])
        parent = draw.choice([block_id_of(over.header)] * 9 + [GENESIS])
        blocks.append(make_block(COMMITTEE, parent, height, GENESIS_MS + 2 + number))
    ids = [block_id_of(block.header) for block in blocks]
    for _ in range(120):
        block = draw.choice(blocks)
        block_id = block_id_of(block.header)
        what = draw.choice(["add", "add", "add", "drop", "advance", "keep"])
        if what == "add":
            chain.add(block_id, block, encode(block))
            if block.header.height > plain.tip.height:
                plain.held.setdefault(block_id, (block.header.height, block.header.parent))
        elif what == "drop":
            chain.drop(block_id)
            plain.held.pop(block_id, None)
        elif what == "advance" and block.header.parent == plain.tip.block_id and draw.random() < 0.5:
            tip = Tip(Height(plain.tip.height + 1), block_id, block.header.time_ms)
            if block.header.height == tip.height:
                chain.advance(tip)
                plain.advance(tip)
        assert len(chain) == len(plain.held)
        for each in draw.sample(ids, 6):
            assert (chain.get(each) is not None) == (each in plain.held)
            assert _as_plain(chain.path(each)) == plain.path(each)


# A replica


def _steps(work: Callable[[], object]) -> int:
    """How many instructions of the interpreter a piece of work takes: the same on every machine."""
    steps = 0

    def trace(frame: FrameType, what: str, _argument: Any) -> Any:
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += what == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return steps


def _stalled(views: int, *, blocks: bool) -> tuple[Solo, Made | None]:
    """A replica after so many views without finality: all nullified, or three of four with a certified block."""
    solo, made = Solo(me=3), None
    for view in range(1, views + 1):
        if blocks and solo.leader(view) != solo.me:
            made = solo.make(view, made)
            made.arrive()
            solo.hear(0, made.notarization)
        else:
            solo.hear(0, solo.nullification(view))
    assert solo.replica.view == views + 1
    assert solo.replica.finalized_view == GENESIS_VIEW
    return solo, made


def _costs(views: int, *, blocks: bool) -> list[int]:
    """Of one event of each kind that a view brings, after such a stall."""
    solo, made = _stalled(views, blocks=blocks)
    assert len(solo.replica.pending_chain) == views * 3 // 4 * blocks  # of a new block it is found once
    view = views + 1
    parent = made.view if made is not None else 0
    gap = range(max(parent + 1, view - MAX_GAP_NULLIFICATIONS), view)
    justification = Justification(made.notarization if made is not None else None, tuple(map(solo.nullification, gap)))
    block = solo.block(made)
    proposed = make_proposed(solo.committee, view, block, block_id_of(block.header), parent, justification)
    nullify = Nullify(solo.committee.epoch, View(view))
    return [
        _steps(lambda: solo.hear(1, solo.vote(nullify, 1))),
        _steps(lambda: solo.replica.pending_chain),
        _steps(lambda: solo.wait(1)),
        _steps(lambda: solo.hear(solo.leader(view), proposed)),
        _steps(lambda: solo.hear(0, solo.nullification(view))),
    ]


@pytest.mark.parametrize("blocks", [False, True])
def test_an_event_costs_the_same_after_a_hundred_views_without_finality_and_after_a_thousand(*, blocks: bool) -> None:
    early, late = _costs(100, blocks=blocks), _costs(1000, blocks=blocks)
    assert all(more < 1.2 * less + 200 for less, more in zip(early, late, strict=True)), (early, late)


def _cost_of_finality(views: int) -> int:
    solo, made = _stalled(views, blocks=True)
    assert made is not None
    cost = _steps(lambda: solo.hear(0, made.finalization))
    assert len(solo.finalized) == views * 3 // 4
    return cost


def test_blocks_that_become_final_at_once_cost_as_much_each_as_they_do_alone() -> None:
    assert _cost_of_finality(1000) < 15 * _cost_of_finality(100)
