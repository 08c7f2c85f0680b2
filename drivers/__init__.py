"""Real instruments: sources, detectors, boards, and the transports under them."""

if __name__ != "physnet.drivers":
    raise ImportError(
        f"import physnet.drivers, not {__name__}: a second name would make a second copy of every class in it."
    )
