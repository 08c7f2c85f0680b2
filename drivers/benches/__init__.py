"""Benches: instruments, cables and a medium between them, as one physical system."""
