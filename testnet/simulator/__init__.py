"""The deterministic simulator: the production cores in virtual time, with faults, and checkers that watch."""

from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.world import run_simulation

__all__ = ["SimulationReport", "SimulationSettings", "run_simulation"]
