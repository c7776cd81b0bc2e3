"""What blocks mean: transactions, state, execution, streams, bundles, commitments, the validator core."""
