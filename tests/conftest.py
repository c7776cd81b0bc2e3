"""For all tests."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it runs in the background like that, and processes that tests start would inherit it: Ctrl-C,
    # which tests send to them, would do nothing.
    signal.signal(signal.SIGINT, signal.default_int_handler)
