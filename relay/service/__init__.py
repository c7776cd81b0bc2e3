"""The one I/O shell of a relay: HTTP to validators, timers, its own small HTTP interface, the process."""

from relay.service.process import RelayConfig, main_relay, run_relay

__all__ = ["RelayConfig", "main_relay", "run_relay"]
