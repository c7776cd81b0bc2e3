"""Scenario files: a testnet, its load and what goes wrong when, run on real processes or in the simulator."""
