"""The deterministic simulator: the production cores in virtual time, with faults, and checkers that watch."""
