"""The validator core: one pure object that wires consensus, ledger, mempool, streams and commitments."""
