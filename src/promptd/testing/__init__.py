"""Shipped for people who write engines, stores and buses: the exams their classes inherit, and an engine on script."""
