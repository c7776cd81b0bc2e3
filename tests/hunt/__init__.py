"""The hunt: every planted bug against many seeds, to find its witness and to say how often seeds see it.

`suspects` are the mutants of the simulator and of consensus; `trials` runs one of them with one seed, and its ground,
the same without the bug; `scores` counts. `python -m tests.hunt` is the command.
"""
