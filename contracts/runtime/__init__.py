"""The runtime image: its recipe, its loader and the compiled form it is cached in."""
