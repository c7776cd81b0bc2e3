"""Real processes under faults: crashes at every kind of moment, full disks, liars, lost quorums."""
