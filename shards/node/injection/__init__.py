"""Faults on purpose, in the process of one node: what `ostraka fault` reaches. On development chains only.

`faults` says what can go wrong and how it is written as JSON, `board` keeps what goes wrong now, `admin` is the socket
that both are reached through; `links`, `disk` and `clock` are the places where it happens. While nothing goes wrong
nothing of this is on the way of a message, a commit or a reading of the clock.
"""
