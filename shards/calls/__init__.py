"""Contract calls in the ledger: how they are run, suspended, answered, resumed and ended."""
