"""Which version of Ostraka this is."""

from importlib.metadata import version


def ostraka_version() -> str:
    """Version of the installed distribution."""
    return version("ostraka")
