"""A validator that answers whoever asks it for blocks, certificates or history with something else."""

from collections.abc import Iterable

from msgspec.structs import replace

from consensus.block import decode_block
from consensus.messages import ArchiveAnswer, BlockAnswer, Certificate, Certificates
from primitives.codec import encode
from primitives.identifiers import ValidatorIndex
from testnet.simulator.byzantine.conduct import JUNK_SIGNATURE, Conduct, read, wire
from testnet.simulator.byzantine.proposals import later


class MaliciousSyncPeer(Conduct):
    """Invents blocks, spoils signatures, and leaves holes in history. What it says of itself is honest."""

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Answer with inventions."""
        message = read(raw)
        if isinstance(message, BlockAnswer):
            return (wire(BlockAnswer(_invented(message.block))),)
        if isinstance(message, Certificates):
            return (wire(Certificates(tuple(map(_spoilt, message.certificates)))),)
        if isinstance(message, ArchiveAnswer):
            return map(wire, self._histories(message))
        return (raw,)

    def _histories(self, answer: ArchiveAnswer) -> Iterable[ArchiveAnswer]:
        """History with an invented end, with a hole, with junk for a signature, and cut off before its end."""
        blocks = answer.blocks
        yield replace(answer, blocks=(*blocks[:-1], _invented(blocks[-1])))
        yield replace(answer, finality=_spoilt(answer.finality))
        if len(blocks) > 1:
            yield replace(answer, blocks=(blocks[0], *blocks[2:]))
            yield replace(answer, blocks=blocks[:-1])


def _invented(raw: bytes) -> bytes:
    """A well-made block that nobody proposed."""
    return encode(later(decode_block(raw), 1))


def _spoilt(certificate: Certificate) -> Certificate:
    quorum = certificate.quorum
    return replace(certificate, quorum=replace(quorum, signatures=(*quorum.signatures[:-1], JUNK_SIGNATURE)))
