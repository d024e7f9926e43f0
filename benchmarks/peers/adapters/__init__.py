"""Peers of the race: a file for each, one interface (base.Peer)."""

import race  # noqa: F401  (finds what the adapters share with the demonstration)
