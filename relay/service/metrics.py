"""What a relay counts, and its lanes as gauges when somebody looks."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from relay.links import Standing
from relay.settings import CourierReport


class RelayMetrics:
    """Names begin with `ostraka_relay_`; a registry of its own, so that several relays fit in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.events = Counter("ostraka_relay_events", "Events handled, by kind", ["kind"], registry=registry)
        self.notes = Counter("ostraka_relay_notes", "Notes of the courier, by name", ["name"], registry=registry)
        self.fetches = Counter("ostraka_relay_fetches", "Fetches, by outcome", ["outcome"], registry=registry)
        self.deliveries = Counter("ostraka_relay_deliveries", "Deliveries, by outcome", ["outcome"], registry=registry)
        self.watched = Gauge("ostraka_relay_watched_validators", "Validators being watched", registry=registry)
        lane = ["source", "destination"]
        self.open = Gauge("ostraka_relay_lane_open", "1 while the lane works", lane, registry=registry)
        self.backlog = Gauge(
            "ostraka_relay_lane_backlog_messages",
            "Certified at the source, not at the destination",
            lane,
            registry=registry,
        )
        self.messages = Gauge(
            "ostraka_relay_lane_messages", "Messages delivered by this relay since its start", lane, registry=registry
        )
        self.height = Gauge("ostraka_relay_shard_height", "Newest certified height seen", ["shard"], registry=registry)

    def text(self, report: CourierReport) -> bytes:
        """Prometheus text exposition; lanes that this relay does not serve are left out."""
        for shard in report.shards:
            self.height.labels(shard.shard).set(shard.height)
        for lane in report.lanes:
            if lane.standing is not Standing.NOT_CONFIGURED:
                self.open.labels(lane.source, lane.destination).set(lane.standing is Standing.OPEN)
                self.backlog.labels(lane.source, lane.destination).set(max(lane.sent - lane.consumed, 0))
                self.messages.labels(lane.source, lane.destination).set(lane.messages)
        return generate_latest(self.registry)
