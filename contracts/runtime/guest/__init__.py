"""Sources of the guest; they run inside the machine and are imported by nothing else."""
