"""The walk and the upkeep. Knows ports, never adapters."""
