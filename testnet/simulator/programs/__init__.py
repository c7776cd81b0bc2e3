"""The contracts of the simulator's workload. Each says by events what it promises; `promises` checks it."""
