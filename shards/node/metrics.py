"""What a validator counts: a Prometheus registry of its own for each node, so that several fit in one process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class NodeMetrics:
    """Counters, gauges and histograms; every name begins with `ostraka_`, times are in seconds, sizes in bytes."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.finalized_height = Gauge("ostraka_finalized_height", "Highest finalized block", registry=registry)
        self.executed_height = Gauge("ostraka_executed_height", "Highest executed block", registry=registry)
        self.certified_height = Gauge("ostraka_certified_height", "Highest certified commitment", registry=registry)
        self.flushed_height = Gauge("ostraka_flushed_height", "Height of the durable state", registry=registry)
        self.view = Gauge("ostraka_view", "Present consensus view", registry=registry)
        self.held = Gauge("ostraka_held", "What is kept in memory for others", ["what"], registry=registry)
        self.peers = Gauge("ostraka_peers", "Validators of this shard that are connected", registry=registry)
        self.events = Counter("ostraka_events", "Events handled by the core", ["kind"], registry=registry)
        self.notes = Counter("ostraka_notes", "Notes of the core, by name", ["name"], registry=registry)
        self.receipts = Counter("ostraka_receipts", "Receipts of executed blocks", ["kind"], registry=registry)
        self.executed_transactions = Counter(
            "ostraka_executed_transactions", "Transactions in executed blocks", registry=registry
        )
        self.commit_seconds = Histogram(
            "ostraka_commit_seconds", "One durable commit, fsync included", buckets=_SECONDS, registry=registry
        )
        self.verify_seconds = Histogram(
            "ostraka_verify_seconds", "One chunk of signatures", buckets=_SECONDS, registry=registry
        )
        self.verified_signatures = Counter(
            "ostraka_verified_signatures", "Signatures checked in batches", registry=registry
        )
        self.execute_seconds = Histogram(
            "ostraka_execute_seconds", "Execution of one block", buckets=_SECONDS, registry=registry
        )
        self.replaced_workers = Counter(
            "ostraka_contract_workers_replaced",
            "Contract machine workers that crashed, hung or garbled an answer",
            registry=registry,
        )
        self.sent_bytes = Counter("ostraka_link_sent_bytes", "Bytes sent to a peer", ["peer"], registry=registry)
        self.received_bytes = Counter(
            "ostraka_link_received_bytes", "Bytes received from a peer", ["peer"], registry=registry
        )
        self.sent_frames = Counter("ostraka_link_sent_frames", "Frames sent to a peer", ["peer"], registry=registry)
        self.dropped_messages = Counter(
            "ostraka_link_dropped_messages", "Messages dropped for a slow or absent peer", ["peer"], registry=registry
        )
        self.refused_links = Counter("ostraka_refused_links", "Links refused, by reason", ["reason"], registry=registry)
        self.http_requests = Counter(
            "ostraka_http_requests", "HTTP requests", ["operation", "status"], registry=registry
        )
        self.subscribers = Gauge("ostraka_event_subscribers", "Open event streams", registry=registry)

    def text(self) -> bytes:
        """Prometheus text exposition."""
        return generate_latest(self.registry)
