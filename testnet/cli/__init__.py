"""The command `ostraka`: one module per group of commands; heavy imports wait until a command runs."""
