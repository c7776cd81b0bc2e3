"""How a test runs pytest in its own process."""

from importlib import import_module

# Pytester unloads what an inner run is the first to import, and the binding of the engine must outlive the machine that
# all tests of a process share.
import_module("contracts.machine.chamber")

IN_PROCESS = ("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:faulthandler")
"""The inner run's faulthandler would take the engine's signal handlers away when it ends, and the next trap of a
contract would end this process."""
