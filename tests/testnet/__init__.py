"""Tests of the testnet: manifest, home, launcher, commands."""
