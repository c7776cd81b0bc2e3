"""The voting half of a validator: builds the blocks it leads, and decides its vote for those of others."""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from consensus.block import Block, block_id_of
from consensus.committee import Committee
from consensus.effects import BuildBlock, CheckBlock
from consensus.events import BlockChecked, Verdict
from primitives.errors import NotYet, Refused
from primitives.identifiers import BlockId, Milliseconds, ShardId
from primitives.marks import sometimes
from primitives.signatures import SignatureScheme
from shards.commitments import CommitmentCertificate, certificate_decoder, check_certificate
from shards.genesis import ChainContext
from shards.ledger import Ledger
from shards.mempool import Mempool
from shards.validator import builder, checks
from shards.validator.desk import SignatureDesk
from shards.validator.inbox import Inbox
from shards.validator.pending import ParsedBlock, PendingChain, parse_block
from shards.validator.pipeline import Pipeline

MAX_PARSED_BLOCKS = 32
"""Recent blocks, so that none is parsed twice; more than are in flight while finality keeps up."""

MAX_ANCHORS = 64
"""Recent anchors, so that none is verified twice."""


class Voting:
    """Builds and checks blocks on the chain that consensus names."""

    def __init__(
        self,
        context: ChainContext,
        shard: ShardId,
        scheme: SignatureScheme,
        ledger: Ledger,
        pipeline: Pipeline,
        mempool: Mempool,
        inbox: Inbox,
        desk: SignatureDesk,
        verify_bundle: checks.CheckBundle,
    ) -> None:
        self._context = context
        self._shard = shard
        self._scheme = scheme
        self._ledger = ledger
        self._pipeline = pipeline
        self._mempool = mempool
        self._inbox = inbox
        self._desk = desk
        self._verify_bundle = verify_bundle
        self._committee: Committee = context.committee(shard)
        self._parsed: OrderedDict[BlockId, ParsedBlock] = OrderedDict()
        self._anchors: OrderedDict[bytes, CommitmentCertificate] = OrderedDict()
        self._chain = PendingChain(ledger, ())
        self._chain_of: tuple[object, ...] = ()
        """What the chain that was asked for last consists of: it is asked for many times."""

    def build(self, request: BuildBlock, wall_ms: Milliseconds) -> Block | None:
        """Build the block that is asked for; None while this validator is behind what it knows to be certified."""
        anchor = self._pipeline.certifier.newest
        if checks.anchor_height(anchor) > request.parent_height:
            sometimes("a leader behind what is certified")
            return None
        time_ms = Milliseconds(max(request.parent_time_ms + 1, wall_ms))
        items: tuple[bytes, ...] = ()
        if builder.may_have_items(request.parent_height + 1, anchor):
            try:
                chain = self.chain(request.ancestors)
                items = builder.choose_items(chain, self._context, self._shard, self._inbox, self._mempool, time_ms)
            except NotYet:
                sometimes("an empty block because execution lags")
                items = ()  # what is final is still being executed: an empty block keeps the chain moving
        return builder.assemble_block(request, self._context, self._shard, anchor, items, time_ms)

    def check(self, request: CheckBlock, later: Callable[[BlockChecked], None]) -> Iterable[BlockChecked]:
        """Verdict on a proposed block at once, or through `later` when signatures must be verified first."""
        try:
            block = self.parse(request.block_id, request.block)
            checks.check_anchor(block, self._anchor(request.block.anchor), self._ledger.height)
            if request.block.items:
                chain = self.chain(request.ancestors)
                checks.check_items(block, chain, self._context, self._shard, self._verify_bundle)
        except NotYet as reason:
            return (BlockChecked(request.block_id, Verdict.NOT_YET, str(reason)),)
        except Refused as error:
            return (BlockChecked(request.block_id, Verdict.INVALID, str(error)),)
        unknown = [each for each in block.transactions if not self._mempool.verified(each.id)]
        if not unknown:
            self._mempool.on_proposed(block.transactions, time_ms=block.time_ms)
            return (BlockChecked(request.block_id, Verdict.VALID),)

        def done(verdicts: tuple[bool, ...]) -> None:
            verdict, reason = Verdict.VALID, ""
            for each, good in zip(unknown, verdicts, strict=True):
                if good:
                    self._mempool.remember_verified(each)
                else:
                    verdict, reason = Verdict.INVALID, f"bad_signature: transaction {each.id.hex()}"
            if verdict is Verdict.VALID:
                self._mempool.on_proposed(block.transactions, time_ms=block.time_ms)
            later(BlockChecked(request.block_id, verdict, reason))

        self._desk.ask([each.signature_item() for each in unknown], done)
        return ()

    def chain(self, ancestors: tuple[Block, ...]) -> PendingChain:
        """The executed state continued by finalized blocks and then by these.

        Raises:
            NotYet: a finalized block has still to be read back from the store.

        """
        ids = [block_id_of(block.header) for block in ancestors]
        known = (self._ledger.height, self._pipeline.finalized, *ids)
        if known != self._chain_of:
            unexecuted = self._pipeline.unexecuted()
            if unexecuted is None:
                raise NotYet("finalized blocks wait to be read back and executed")
            try:
                pending = [self.parse(block_id, block) for block_id, block in zip(ids, ancestors, strict=True)]
            except Refused as error:
                raise NotYet(f"a quorum notarized a malformed block, which must not become final: {error}") from error
            self._chain, self._chain_of = PendingChain(self._ledger, (*unexecuted, *pending)), known
        return self._chain

    def parse(self, block_id: BlockId, block: Block) -> ParsedBlock:
        """Decode a block's items, once.

        Raises:
            Refused: an item is malformed.

        """
        known = self._parsed.get(block_id)
        if known is None:
            known = parse_block(block_id, block, self._mempool.parse)
            self._parsed[block_id] = known
            if len(self._parsed) > MAX_PARSED_BLOCKS:
                self._parsed.popitem(last=False)
        return known

    def _anchor(self, raw: bytes) -> CommitmentCertificate | None:
        """Decode and verify a block's anchor; what it certifies is taken in."""
        if not raw:
            return None
        known = self._anchors.get(raw)
        if known is None:
            known = certificate_decoder.decode(raw)
            check_certificate(known, self._committee, self._scheme)
            self._anchors[raw] = known
            if len(self._anchors) > MAX_ANCHORS:
                self._anchors.popitem(last=False)
            self._pipeline.adopt(known)
        return known
