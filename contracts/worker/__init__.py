"""The machine in a process of its own: a crash or a hang of the engine is not one of the validator."""
