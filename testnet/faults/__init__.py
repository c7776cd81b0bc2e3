"""Faults of a running testnet: what people may break (`targets`, `amounts`) and how it is done (`control`)."""
