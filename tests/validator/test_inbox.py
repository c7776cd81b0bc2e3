"""Which bundles are kept, in which order, and that nothing anybody delivers displaces the one that is needed."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from primitives.identifiers import Sequence, ShardId
from shards.bundles import Bundle
from shards.validator.inbox import MAX_WAITING_PER_SOURCE, Inbox, Position, WaitingBundle, fits
from tests.shards.builders import TestChain

SOURCE = ShardId(1)
START = Position(Sequence(0), Sequence(0))


def _template() -> Bundle:
    chain = TestChain(2)
    alice, bob = chain.accounts[:2]
    chain.run(1, [chain.remote(1, alice, 0, bob, 1)])
    return chain.bundle(1, 0)


TEMPLATE = _template()


def waiting(first: int, end: int, ack: int = 0, gas: int = 1) -> WaitingBundle:
    head = replace(TEMPLATE.head, ack_next=Sequence(ack))
    made = replace(TEMPLATE, first=Sequence(first), bodies=(b"x",) * (end - first), head=head)
    return WaitingBundle(f"{first}-{end}-{ack}".encode(), made, gas)


def taken(inbox: Inbox, position: Position) -> bytes | None:
    found = inbox.next_for(SOURCE, position, 100, 1000)
    return None if found is None else found.raw


def test_a_bundle_that_another_contains_is_not_kept() -> None:
    inbox = Inbox()
    assert inbox.add(waiting(0, 5), START)
    assert not inbox.add(waiting(0, 5), START)
    assert not inbox.add(waiting(1, 4), START)
    assert inbox.changes == 1
    assert inbox.add(waiting(0, 9), START)
    assert len(inbox) == 1
    assert inbox.add(waiting(0, 9, ack=3), START)
    assert len(inbox) == 1


@settings(deadline=None, max_examples=200)
@given(
    junk=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 5)).map(
            lambda each: waiting(min(each[:2]), max(each[:2]), each[2])
        ),
        max_size=80,
    ),
    received=st.integers(0, 60),
    when=st.integers(0, 80),
)
def test_whatever_else_is_delivered_the_stream_goes_on(junk: list[WaitingBundle], received: int, when: int) -> None:
    """The next bundle, or one that reaches at least as far, can always be taken."""
    inbox, position = Inbox(), Position(Sequence(received), Sequence(0))
    needed = waiting(received, 61)
    for each in [*junk[:when], needed, *junk[when:]]:
        inbox.add(each, position)
    found = inbox.next_for(SOURCE, position, 100, 1000)
    assert found is not None
    assert found.end >= needed.end
    assert len(inbox) <= MAX_WAITING_PER_SOURCE


def test_bundles_that_leave_a_gap_do_not_crowd_out_the_one_that_closes_it() -> None:
    inbox, needed = Inbox(), waiting(0, 60)
    for first in range(1, 3 * MAX_WAITING_PER_SOURCE):
        inbox.add(waiting(first, 60, ack=first), START)
    assert len(inbox) == MAX_WAITING_PER_SOURCE
    assert inbox.add(needed, START)
    assert taken(inbox, START) == needed.raw
    for first in range(1, 3 * MAX_WAITING_PER_SOURCE):
        inbox.add(waiting(first, 60, ack=100 + first), START)
    assert taken(inbox, START) == needed.raw


def test_what_is_ahead_waits_for_what_connects() -> None:
    inbox = Inbox()
    for first in (20, 10, 0):
        inbox.add(waiting(first, first + 10), START)
    assert taken(inbox, START) == b"0-10-0"
    assert taken(inbox, Position(Sequence(10), Sequence(0))) == b"10-20-0", "on a pending chain"
    assert [each.raw for each in inbox.fitting(lambda _: START)] == [b"0-10-0"], "the others are no work yet"
    inbox.settle(SOURCE, Position(Sequence(20), Sequence(0)))
    assert len(inbox) == 1
    assert taken(inbox, Position(Sequence(20), Sequence(0))) == b"20-30-0"


def test_room_and_gas_are_kept() -> None:
    inbox = Inbox()
    inbox.add(waiting(0, 9, gas=90), START)
    assert inbox.next_for(SOURCE, START, 89, 1000) is None
    assert inbox.next_for(SOURCE, START, 90, 4) is None
    assert inbox.next_for(SOURCE, START, 90, 5) is not None


def test_a_bare_acknowledgement_is_of_use_once() -> None:
    bare = waiting(0, 0, ack=3)
    assert fits(bare.bundle, START)
    assert not fits(bare.bundle, Position(Sequence(0), Sequence(3)))
    assert not fits(waiting(1, 1, ack=3).bundle, START)


def test_nothing_of_a_frozen_stream_is_kept_or_taken() -> None:
    inbox = Inbox()
    inbox.add(waiting(0, 5), START)
    frozen = Position(Sequence(0), Sequence(0), frozen=True)
    assert taken(inbox, frozen) is None
    assert inbox.fitting(lambda _: frozen) == ()
    inbox.settle(SOURCE, frozen)
    assert len(inbox) == 0
    assert inbox.sources() == ()
