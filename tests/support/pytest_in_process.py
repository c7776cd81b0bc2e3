"""How a test runs pytest in its own process."""

IN_PROCESS = ("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:faulthandler")
"""The inner run's faulthandler would take the engine's signal handlers away when it ends, and the next trap of a
contract would end this process."""
