"""Bundles: the certified, self-contained proof of a slice of a stream. A bundle verifies without any state."""

from typing import Annotated

from msgspec import Meta

from primitives.codec import Record
from primitives.identifiers import HashField, SequenceField
from shards.commitments import CommitmentCertificate
from shards.limits import MAX_BUNDLE_MESSAGES, MAX_MESSAGE_BYTES
from shards.streams import PeaksField, StreamHead


class Bundle(Record):
    """Messages [first, first + len(bodies)) of one stream, proved by one certificate.

    `peaks` are the stream's mountain peaks at size `first`; `right` covers what follows the bodies up to
    `head.end`, so that the certified root follows from what is here.
    """

    certificate: CommitmentCertificate
    head: StreamHead
    path: Annotated[tuple[HashField, ...], Meta(max_length=10)]
    """RFC 9162 inclusion path of the head in the outbox tree."""
    first: SequenceField
    peaks: PeaksField
    bodies: Annotated[
        tuple[Annotated[bytes, Meta(max_length=MAX_MESSAGE_BYTES)], ...], Meta(max_length=MAX_BUNDLE_MESSAGES)
    ]
    right: PeaksField
