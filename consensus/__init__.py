"""Simplex consensus over opaque payloads; it knows nothing of money."""
