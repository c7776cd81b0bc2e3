"""The local multi-shard testnet: manifest, launcher, simulator, command line."""
