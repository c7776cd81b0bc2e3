"""The host side of the machine: it runs calls on wasmtime, answers what they ask, and says what came of them.

Kinds of `Failed`: `raised` (the method raised), `no_method`, `bad_arguments`, `trap` (the machine stopped, such as on a
native stack overflow), `replay_diverged`, `journal_too_large`, `too_many_awaits`, `protocol` (the guest's bookkeeping
was tampered with).
"""
