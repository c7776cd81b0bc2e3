"""Where the console script begins: Ctrl-C while the command is still being imported ends it without a traceback."""

import signal


def main() -> None:
    """Import the command and run it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from testnet.cli.main import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
