"""Hostile bytes for everything that reads what strangers send: targets, a seeded mutator, campaigns, kept crashers.

`python -m fuzz` runs every target on mutated samples; the same command with `--guided` hands one target to Atheris
(libFuzzer), which looks for inputs that reach new code. Every input that broke something once is a file in `cases/`.
"""
