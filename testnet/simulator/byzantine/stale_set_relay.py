"""A relay that presents certificates as those of another epoch, with another set of validators."""

from msgspec.structs import replace

from primitives.codec import encode
from primitives.identifiers import Epoch, Hash
from shards.bundles import decode_bundle
from testnet.simulator.byzantine.lying_post import LyingPost
from testnet.simulator.post import Forward


class StaleSetPost(LyingPost):
    """Says that whoever signed this was a committee of some other time."""

    def carry(self, raw: bytes, forward: Forward) -> None:
        """Forward it as of another epoch, of another set, and of both."""
        self.carried += 1
        bundle = decode_bundle(raw)
        signed = bundle.certificate.commitment
        later, other = Epoch(signed.epoch + 1), Hash(bytes([self.carried % 256]) * 32)
        for claim in (
            replace(signed, epoch=later),
            replace(signed, validator_set_hash=other),
            replace(signed, epoch=later, validator_set_hash=other),
        ):
            forward(encode(replace(bundle, certificate=replace(bundle.certificate, commitment=claim))))
