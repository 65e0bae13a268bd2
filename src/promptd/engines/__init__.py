"""Engines: one file per kind of AI system."""
