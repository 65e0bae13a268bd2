"""Adapters of port `Bus`: live chunks and wake-ups."""
