"""Wave systems computed on CPU or GPU, and the impairments that any system can wear."""

if __name__ != "physnet.simulators":
    raise ImportError(
        f"import physnet.simulators, not {__name__}: a second name would make a second copy of every class in it."
    )
