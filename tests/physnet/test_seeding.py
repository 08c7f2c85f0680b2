from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.seeding import derive_seed, stream, torch_stream

SEEDS = st.integers(0, 2**63)
KEYS = st.lists(st.integers(0, 2**63), max_size=4)


@given(seed=SEEDS, name=st.text(max_size=9), key=KEYS)
@settings(deadline=None)
def test_a_stream_depends_on_nothing_but_its_arguments(seed: int, name: str, key: list[int]) -> None:
    torch.manual_seed(seed % 1000)
    first = stream(seed, name, *key).random(5)
    stream(seed, "another").random(7)
    assert (stream(seed, name, *key).random(5) == first).all()
    word = torch.rand(3, generator=torch_stream(seed, name, *key))
    assert torch.equal(torch.rand(3, generator=torch_stream(seed, name, *key)), word)
    assert derive_seed(seed, name, *key) == derive_seed(seed, name, *key)


@given(seed=SEEDS, name=st.text(max_size=9), key=KEYS)
@settings(deadline=None)
def test_a_derived_seed_fits_into_32_bits(seed: int, name: str, key: list[int]) -> None:
    assert 0 <= derive_seed(seed, name, *key) < 2**32


def test_streams_of_another_seed_name_or_key_are_different() -> None:
    # 300 numbers of 53 bits: the chance that two of them agree is 300^2 / 2^54 = 5e-12.
    numbers = {
        stream(seed, name, epoch, step).random()
        for seed in range(3)
        for name in ("data order", "negatives")
        for epoch in range(10)
        for step in range(5)
    }
    assert len(numbers) == 300


def test_numpy_and_torch_streams_of_one_name_are_not_each_other() -> None:
    assert abs(stream(0, "x").random() - torch.rand(1, generator=torch_stream(0, "x"), dtype=torch.float64)) > 1e-9


def test_streams_stay_as_they_are() -> None:
    # A change of these numbers breaks every run that someone wants to repeat or resume.
    # NumPy promises that seed sequences and raw bits stay (NEP 19), and promises nothing of the distributions.
    assert stream(7, "data order", 3).bit_generator.random_raw() == 17833411978697031973
    assert derive_seed(7, "rule", 1) == 1813191920
    assert torch_stream(7, "xi").initial_seed() == 5678552794976676774
