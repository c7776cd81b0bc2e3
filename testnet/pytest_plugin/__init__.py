"""The pytest plugin: `net`, `alice`, `bob` and others as fixtures. See docs/testing.md."""
