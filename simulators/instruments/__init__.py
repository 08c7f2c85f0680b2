"""Simulated instruments: servers that speak the real protocols, with a simulated medium between them."""
