"""Instruments, one file each: what a bench plays with, and what it listens with."""
