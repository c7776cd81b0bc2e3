"""The invariants as far as HTTP shows them, checked on what validators answer; knows no clock and no network.

S1  one finalized block per shard and height, linked to the one before
S2  equal commitments for equal heights      S3  a certificate names a quorum of distinct signers
V1  the supply identity, within shards and between them
V2  no shard sends out more than it began with and received
X1  messages are consumed once and in order  X2  and were sent, by a finalized block
X4  a call is answered once, and everything is settled in the end
D1  what a validator called final it never forgets
A1  nobody is blamed who is honest           H1  no validator halts of itself

All arithmetic is done here anew, on the numbers in the answers; nothing of the ledger's is called.
"""

from collections import Counter
from typing import Final

from shards.node import api_types as api
from testnet.simulator.findings import Findings

JUDGED: Final = ("S1", "S2", "S3", "V1", "V2", "X1", "X2", "X4", "D1", "L1", "A1", "H1")
"""What an observer sees of the invariants; `watch` sees L1."""

Lane = tuple[int, int]
"""Source and destination of messages."""

REMEMBERED_HEIGHTS = 20_000
"""Of each shard: half an hour of the busiest one. A validator that was away for longer is not compared before that."""

REMEMBERED_CALLS = 200_000
"""Answered calls, among which a second answer is noticed."""


class LiveChecker:
    """Hears what validators say, in any order over validators; blocks of a shard in order of their heights."""

    def __init__(self, shards: int, quorum: int, findings: Findings) -> None:
        self.findings = findings
        self._accused: set[str] = set()
        self.guilty: set[str] = set()
        """Validators that lie to their peers on purpose, or did: they may be blamed.

        Behind what they tell their peers stands the core of an honest validator, and it answers here. So what they call
        final and what they came to is judged like everybody's; that they halt or whom they blame is not.
        """
        self.counts: Counter[str] = Counter()
        self._shards = shards
        self._quorum = quorum
        self._ids: dict[tuple[int, int], tuple[str, str]] = {}
        """(shard, height) -> block id, and who said so first."""
        self._results: dict[tuple[int, int], tuple[str, str]] = {}
        """(shard, height) -> commitment hash, and who said so first."""
        self._finalized: Counter[str] = Counter()
        self._booked: Counter[int] = Counter()
        """Height up to which each shard's blocks have been read."""
        self._first: dict[int, int] = {}
        self._sent: dict[tuple[int, int, int], str] = {}
        """(source, destination, sequence) -> message id."""
        self._consumed: dict[tuple[int, int, int], tuple[str, int]] = {}
        """The same -> message id, and the height where it was consumed."""
        self._next: dict[Lane, int] = {}
        self._answered: dict[tuple[int, str], None] = {}
        """(shard, call id), the oldest first."""
        self._supplies: dict[int, api.SupplyView] = {}
        self._heads: dict[int, dict[int, api.HeadView]] = {}

    # What one validator says

    def status(self, name: str, said: api.StatusAnswer) -> None:
        """Where a validator stands: never behind where it stood, never halted, blaming nobody who is honest."""
        self.counts["looks"] += 1
        before = self._finalized[name]
        self.findings.check(
            said.finalized_height >= before, "D1", name, said.finalized_height, f"had finalized {before} blocks before"
        )
        self._finalized[name] = max(before, said.finalized_height)
        if name in self.guilty:
            return
        halted = said.not_ready.startswith("halted")
        self.findings.check(not halted, "H1", name, said.finalized_height, said.not_ready)
        for index in said.blamed:
            peer = f"s{said.shard}/v{index}"
            self.findings.check(peer in self.guilty, "A1", name, said.finalized_height, f"blames {peer}")
            self._accused.update(self.guilty.intersection({peer}))
        self.counts["guilty blamed"] = len(self._accused)

    def finalized(self, name: str, shard: int, blocks: list[api.BlockSummary]) -> None:
        """Blocks that a validator calls final."""
        for block in blocks:
            if self._is_forgotten(shard, block.height):
                continue
            first, teller = self._ids.setdefault((shard, block.height), (block.block_id, name))
            self.counts["blocks compared"] += 1
            self.findings.check(
                first == block.block_id, "S1", name, block.height, f"has block {block.block_id[:16]}…, {teller} another"
            )

    def commitment(self, name: str, shard: int, said: api.CommitmentAnswer) -> None:
        """What a validator's execution came to."""
        if self._is_forgotten(shard, said.height):
            return
        first, teller = self._results.setdefault((shard, said.height), (said.commitment_hash, name))
        self.counts["results compared"] += 1
        self.findings.check(
            first == said.commitment_hash, "S2", name, said.height, f"came to another result than {teller}"
        )
        final = self._ids.get((shard, said.height), (said.block_id, name))[0]
        self.findings.check(
            final == said.block_id, "S1", name, said.height, "executed a block that is not the final one"
        )
        if said.certificate is not None:
            signers = len(set(said.signers))
            whole = signers == len(said.signers) >= self._quorum
            self.findings.check(whole, "S3", name, said.height, f"certificate of {signers} of {self._quorum} signers")
        self._check_supply(name, shard, said)

    def _check_supply(self, name: str, shard: int, said: api.CommitmentAnswer) -> None:
        supply = said.supply
        held = sum(map(int, (supply.balances, supply.bonds, supply.held_fees, supply.escrow)))
        owed = int(supply.genesis) - int(supply.burnt) - int(supply.sent) + int(supply.received)
        self.findings.check(held == owed, "V1", name, said.height, f"holds {held} base units, should hold {owed}")
        there = int(supply.genesis) + int(supply.received)
        self.findings.check(
            int(supply.sent) <= there, "V2", name, said.height, f"sent {supply.sent} base units, never had but {there}"
        )
        genesis = self._supplies.setdefault(shard, supply).genesis
        self.findings.check(genesis == supply.genesis, "V1", name, said.height, "began with other money than before")

    def _is_forgotten(self, shard: int, height: int) -> bool:
        return height <= self._booked[shard] - REMEMBERED_HEIGHTS

    # What a shard did

    def next_height(self, shard: int) -> int:
        """Height of the block of a shard to be read next."""
        return self._booked[shard] + 1

    def begin_at(self, shard: int, height: int) -> None:
        """Read a shard's blocks from this height on, because what was before is too much or pruned."""
        self._booked[shard] = height - 1

    def block(self, name: str, shard: int, said: api.BlockAnswer) -> None:
        """Read the next block of a shard: how it is linked, what it consumed and sent."""
        height = said.summary.height
        self._first.setdefault(shard, height)
        before = self._ids.get((shard, height - 1))
        self.findings.check(
            before is None or before[0] == said.parent, "S1", name, height, "a final block is not linked to the last"
        )
        self.finalized(name, shard, [said.summary])
        self._booked[shard] = height
        for remembered in (self._ids, self._results):
            remembered.pop((shard, height - REMEMBERED_HEIGHTS), None)
        self.counts["blocks read"] += 1
        for receipt in said.receipts:
            self._read(name, shard, height, receipt)

    def _read(self, name: str, shard: int, height: int, receipt: api.ReceiptView) -> None:
        for sent in receipt.sent:
            if sent.destination != shard:
                self._sent[shard, sent.destination, sent.sequence] = sent.message_id
                self.counts["messages sent"] += 1
        if receipt.source is None or receipt.sequence is None or receipt.source == shard:
            return
        place = (receipt.source, shard, receipt.sequence)
        expected = self._next.get(place[:2], 0 if self._first[shard] == 1 else receipt.sequence)
        self.findings.check(
            receipt.sequence == expected,
            "X1",
            name,
            height,
            f"consumes message {receipt.sequence} of shard {receipt.source}, {expected} is due",
        )
        self._next[place[:2]] = receipt.sequence + 1
        self._consumed[place] = (receipt.message_id or "", height)
        self.counts["messages consumed"] += 1
        self._compare(place)
        if receipt.kind == "reply" and receipt.call_id is not None:
            once = (shard, receipt.call_id) not in self._answered
            self.findings.check(once, "X4", name, height, f"call {receipt.call_id[:16]}… is answered a second time")
            self._answered[shard, receipt.call_id] = None
            if len(self._answered) > REMEMBERED_CALLS:
                del self._answered[next(iter(self._answered))]

    def _compare(self, place: tuple[int, int, int]) -> None:
        """Compare what was consumed with what was sent, as soon as both are known; then forget both."""
        if place in self._consumed and place in self._sent:
            consumed, height = self._consumed.pop(place)
            sent = self._sent.pop(place)
            name = f"s{place[1]}"
            self.findings.check(consumed == sent, "X2", name, height, f"consumes another message than s{place[0]} sent")

    # All shards together

    def streams(self, shard: int, said: api.StreamsAnswer) -> None:
        """The certified heads of a shard's streams."""
        self._heads[shard] = {head.destination: head for head in said.heads}

    def money(self) -> None:
        """See that no shard received more from another than that one sent, as far as heads of one moment show it."""
        for source, heads in self._heads.items():
            for destination, head in heads.items():
                other = self._heads.get(destination, {}).get(source)
                if other is None or other.ack_next > head.end:
                    continue  # the source's head is older than what the destination has of it
                self.counts["flows compared"] += 1
                flown = int(head.value_sent) - int(other.value_received)
                enough = flown >= 0 and (flown == 0 or other.ack_next < head.end)
                self.findings.check(
                    enough, "V1", f"s{destination}", 0, f"{flown} base units are on their way from shard {source}"
                )

    def settled(self) -> bool:
        """Whether every message that was sent has been consumed and acknowledged."""
        heads = [head for of_shard in self._heads.values() for head in of_shard.values()]
        return len(self._heads) == self._shards and all(head.begin == head.end for head in heads)

    def verdict(self, *, must_be_settled: bool) -> None:
        """Check what can only be seen at the end."""
        for place in sorted(self._consumed):
            self._compare(place)
        for source, destination, sequence in sorted(self._consumed):
            if self._first.get(source) == 1:
                detail = f"consumed message {sequence} of shard {source}, which no finalized block sent"
                self.findings.add("X2", f"s{destination}", self._consumed[source, destination, sequence][1], detail)
        if must_be_settled:
            for shard, heads in sorted(self._heads.items()):
                for head in heads.values():
                    left = head.end - head.begin
                    detail = f"{left} messages to shard {head.destination} are not settled in the end"
                    self.findings.check(not left, "X4", f"s{shard}", 0, detail)
