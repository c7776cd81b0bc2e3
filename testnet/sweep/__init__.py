"""Sweeps: thousands of seeds of the simulator over processes, what they broke and which rare states they reached."""
