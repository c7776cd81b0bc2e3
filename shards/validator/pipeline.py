"""Execution follows: finalized blocks, one after another, into commitments, signatures and certificates.

A block that is final is executed when its turn comes, from memory or read back from the store. The result is
compared with what this validator journaled before a restart and with what the committee has certified; either
differing means that this machine cannot be trusted, and the validator halts before it signs. A restart begins with
the same comparison for the state that was read back, and says again what was signed of it.
"""

from collections.abc import Callable

from consensus.block import block_id_of, decode_block
from consensus.committee import Committee
from consensus.effects import Blame, Broadcast, Note, Persist
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import Hash, Height, SecretSeed, ValidatorIndex
from primitives.marks import sometimes
from primitives.signatures import SignatureScheme
from shards import chain_store
from shards.commitments import (
    Commitment,
    CommitmentCertificate,
    CommitmentSignature,
    check_certificate,
    commitment_hash,
    signing_bytes,
)
from shards.ledger import Ledger
from shards.limits import ANCHOR_LAG
from shards.outcome import Execution
from shards.validator import wire
from shards.validator.certifier import Certifier
from shards.validator.effects import (
    BlockApplied,
    BlockFinalized,
    Effect,
    ExecuteBlock,
    Halt,
    HeightCertified,
    LoadFinalized,
    Publish,
)
from shards.validator.events import BlockLoaded
from shards.validator.pending import ParsedBlock

MAX_QUEUED_BLOCKS = 2 * ANCHOR_LAG
"""Finalized blocks kept in memory for execution; while catching up, later ones are read back from the store. Blocks
of an honest leader's have items only while execution lags by no more than ANCHOR_LAG."""

MAX_CERTIFICATES_AHEAD = 16
"""Certificates of heights not executed yet: the newest ones, each of which commits to all before it."""


class Pipeline:
    """The executing half of a validator. `emit` takes its effects in order."""

    def __init__(
        self,
        committee: Committee,
        signer: tuple[ValidatorIndex, SecretSeed] | None,
        scheme: SignatureScheme,
        ledger: Ledger,
        finalized: Height,
        emit: Callable[[Effect], None],
        blame: Callable[[Blame], None],
    ) -> None:
        self._committee = committee
        self._signer = signer
        self._scheme = scheme
        self._ledger = ledger
        self._emit = emit
        self._queue: dict[Height, ParsedBlock] = {}
        self._journaled: dict[Height, Hash] = {}
        self._certificates_ahead: dict[Height, CommitmentCertificate] = {}
        self._own_signature: bytes | None = None
        self._busy = False
        self.finalized = finalized
        self.certifier = Certifier(committee, scheme, ledger.height, blame)

    @property
    def is_uncertified(self) -> bool:
        """Whether what was signed last still lacks a certificate."""
        return self._own_signature is not None and not self.certifier.certified(self._ledger.height)

    def start(self) -> None:
        """Begin where the state stands; a state that was read back is compared with the chain's store first."""
        if self._ledger.height == 0:
            self.advance()
        else:
            self._busy = True
            self._emit(LoadFinalized(self._ledger.height))

    def unexecuted(self) -> tuple[ParsedBlock, ...] | None:
        """Finalized blocks that wait for execution, oldest first; None when they are not all in memory."""
        heights = range(self._ledger.height + 1, self.finalized + 1)
        if any(height not in self._queue for height in heights):
            return None
        return tuple(self._queue[Height(height)] for height in heights)

    def on_finalized(self, block: ParsedBlock) -> None:
        """Take the next finalized block; it is durable."""
        self.finalized = block.height
        if len(self._queue) < MAX_QUEUED_BLOCKS:
            self._queue[block.height] = block
        self._index(block)
        ids = tuple(transaction.id for transaction in block.transactions)
        self._emit(Publish(BlockFinalized(block.height, block.id, ids)))
        self.advance()

    def advance(self) -> None:
        """Ask for the next piece of work, if there is any and none is under way."""
        height = Height(self._ledger.height + 1)
        if self._busy or height > self.finalized:
            return
        self._busy = True
        block = self._queue.get(height)
        self._emit(LoadFinalized(height) if block is None else ExecuteBlock(block.block))

    def on_loaded(self, loaded: BlockLoaded, parse: Callable[..., ParsedBlock]) -> None:
        """Continue with a block read back from the store."""
        self._busy = False
        if loaded.height == self._ledger.height:
            self._resume(loaded)
            return
        if loaded.raw is None:
            self._emit(Halt(f"the chain store has no block {loaded.height}, which it had finalized"))
            return
        try:
            block = decode_block(loaded.raw)
            self._queue[loaded.height] = parse(block_id_of(block.header), block)
        except Refused as error:
            self._emit(Halt(f"the stored block {loaded.height} cannot be read: {error}"))
            return
        if loaded.commitment_hash is not None:
            self._journaled[loaded.height] = loaded.commitment_hash
        # The process may have died between the finalization and its index.
        self._index(self._queue[loaded.height])
        self.advance()

    def on_executed(self, execution: Execution) -> ParsedBlock | None:
        """Make an execution this validator's state, and sign it. None when that would be unsafe."""
        self._busy = False
        commitment = execution.commitment
        height = Height(commitment.height)
        own = commitment_hash(commitment)
        if height in self._journaled:
            sometimes("a block executed again after a restart")
        journaled = self._journaled.pop(height, own)
        if journaled != own:
            self._emit(Halt(f"executing block {height} again gave another commitment than the journaled one"))
            return None
        ahead = self._certificates_ahead.pop(height, None)
        if ahead is not None:
            sometimes("a result certified before it was computed here")
        if ahead is not None and commitment_hash(ahead.commitment) != own:
            self._halt_on_difference(height)
            return None
        self._emit(Persist(chain_store.execution_writes(execution)))
        self._ledger.apply(execution)
        self._emit(Publish(BlockApplied(execution)))
        self._sign(commitment)
        if ahead is not None:
            self._certified(ahead)
        block = self._queue.pop(height)
        self.advance()
        return block

    def on_signature(self, vote: CommitmentSignature, peer: ValidatorIndex) -> bool:
        """Take in a peer's signature; True when the peer shows by repeating itself that it lacks the certificate.

        Raises:
            Refused: it is not the peer's own, or not over a commitment of this shard.

        """
        if vote.signer != peer:
            raise Refused("impersonation", f"validator {peer} sends a commitment signature of validator {vote.signer}")
        repeats = self.certifier.has_heard(vote)
        certificate = self.certifier.add(vote)
        self._compare_results(vote.commitment.height)
        if certificate is not None:
            self.adopt(certificate)
        return repeats and self.certifier.certified(vote.commitment.height)

    def on_certificate(self, certificate: CommitmentCertificate) -> None:
        """Take in a certificate of this shard from a peer, if it says anything new.

        Raises:
            Refused: it is not one.

        """
        height = certificate.commitment.height
        own = self.certifier.own_hash(height)
        differs = own is not None and own != commitment_hash(certificate.commitment)
        if differs or not self.certifier.certified(height):
            check_certificate(certificate, self._committee, self._scheme)
            self.adopt(certificate)

    def adopt(self, certificate: CommitmentCertificate) -> None:
        """Take in a certificate whose signatures are verified."""
        height = Height(certificate.commitment.height)
        own = self.certifier.own_hash(height)
        is_newest = self.certifier.accept(certificate)
        if own is not None and own != commitment_hash(certificate.commitment):
            self._halt_on_difference(height)
        elif is_newest and height <= self._ledger.height:
            self._certified(certificate)
        elif is_newest:
            self._keep_ahead(certificate)

    def restore_certificate(self, certificate: CommitmentCertificate) -> None:
        """Take back the newest certificate that the store holds, at start-up."""
        self.certifier.accept(certificate)
        if certificate.commitment.height >= self._ledger.height:
            self._keep_ahead(certificate)

    def repeat_signature(self) -> None:
        """Say again what was signed last, if that height is still without a certificate."""
        if self._own_signature is not None and self.is_uncertified:
            sometimes("a commitment signature said again")
            self._emit(Broadcast(self._own_signature))

    def _resume(self, loaded: BlockLoaded) -> None:
        """Go on from the state that was read back, if it is the one that this chain's store says it is."""
        commitment = self._ledger.commitment
        own = commitment_hash(commitment)
        ahead = self._certificates_ahead.pop(self._ledger.height, None)
        if loaded.raw is None or loaded.commitment_hash != own:
            self._emit(
                Halt(
                    f"the state of block {loaded.height} is not the one that the chain's store has there; "
                    "one of the two was replaced by an older copy, or is damaged"
                )
            )
        elif ahead is not None and commitment_hash(ahead.commitment) != own:
            self._halt_on_difference(self._ledger.height)
        else:
            self._sign(commitment)
            self.advance()

    def _keep_ahead(self, certificate: CommitmentCertificate) -> None:
        """Remember what the committee has certified until the own result can be compared with it."""
        self._certificates_ahead[Height(certificate.commitment.height)] = certificate
        while len(self._certificates_ahead) > MAX_CERTIFICATES_AHEAD:
            del self._certificates_ahead[min(self._certificates_ahead)]

    def _index(self, block: ParsedBlock) -> None:
        """Let a final block's transactions be found by id."""
        if block.transactions:
            self._emit(Persist(chain_store.block_index_writes(block.height, block.block.items)))

    def _sign(self, commitment: Commitment) -> None:
        """Sign what was computed here and is durable, unless the committee has certified it already."""
        own = None
        if self._signer is not None and not self.certifier.certified(commitment.height):
            me, seed = self._signer
            own = CommitmentSignature(commitment, me, self._scheme.sign(seed, signing_bytes(commitment)))
            self._own_signature = wire.pack(wire.PeerKind.COMMITMENT_SIGNATURE, encode(own))
            self._emit(Broadcast(self._own_signature))
        certificate = self.certifier.executed(commitment, own)
        self._compare_results(commitment.height)
        if certificate is not None:
            self.adopt(certificate)

    def _compare_results(self, height: int) -> None:
        """Say loudly when more than f others have come to another result than this validator."""
        others = self.certifier.dissent(height)
        if others:
            self._emit(Note("split_result", f"validators {others} signed another result of block {height} than ours"))

    def _certified(self, certificate: CommitmentCertificate) -> None:
        self._emit(Persist(chain_store.certificate_writes(certificate)))
        self._emit(Publish(HeightCertified(certificate)))

    def _halt_on_difference(self, height: Height) -> None:
        self._emit(Halt(f"the committee certified another result of block {height} than this validator computed"))
