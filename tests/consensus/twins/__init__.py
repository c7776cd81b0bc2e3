"""Twins, systematically (Bano et al., "Twins: BFT Systems Made Robust", 2020): every leader and split of every view.

`scenarios` numbers them, `cluster` runs one, `python -m tests.consensus.twins` runs many.
"""
