from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from physnet.simulators import row_product
from physnet.simulators.row_product import RowProduct

SHAPES = [(1, 1), (3, 5), (64, 66), (301, 90), (785, 1204)]


def matrix(inputs: int, outputs: int) -> torch.Tensor:
    return torch.randn(inputs, outputs, generator=torch.Generator().manual_seed(inputs))


def rows(count: int, inputs: int) -> torch.Tensor:
    return torch.randn(count, inputs, generator=torch.Generator().manual_seed(count))


@pytest.fixture(params=["packed", "plain"])
def packing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":  # as on a GPU, or where torch has no oneDNN
        monkeypatch.setattr(row_product, "_packed", lambda matrix_CK: matrix_CK)
    return str(request.param)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 2, 8, 100, 640, 1030])
def test_it_is_the_product(shape: tuple[int, int], count: int, packing: str) -> None:
    fixed, drive = matrix(*shape), rows(count, shape[0])
    product = RowProduct(fixed)
    assert torch.equal(product.dense, fixed.T)
    # float32: each of the K products and sums is off by 2^-24 of the terms' absolute sum at most.
    error = (product(drive) - drive.double() @ fixed.double()).abs()
    assert bool((error <= shape[0] * 2.0**-24 * (drive.double().abs() @ fixed.double().abs())).all())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_has_the_same_bits_wherever_it_stands(shape: tuple[int, int], packing: str, threads: int) -> None:
    product, drive = RowProduct(matrix(*shape)), rows(700, shape[0])
    torch.set_num_threads(1)
    whole = product(drive)
    torch.set_num_threads(threads)
    assert torch.equal(product(drive), whole)
    for size in (1, 7, 40, 300):
        assert torch.equal(torch.cat([product(part) for part in drive.split(size)]), whole), size  # type: ignore[no-untyped-call]
    order = torch.randperm(700, generator=torch.Generator().manual_seed(0))
    assert torch.equal(product(drive[order]), whole[order])


def test_portions_cover_every_row_once_and_waste_few() -> None:
    product = RowProduct(matrix(20, 30))
    for count in (1, 8, 127, 128, 511, 512, 1701):
        covered = [k for part in product.cut(count) for k in range(part.start, part.stop)]
        assert covered == list(range(count))
    assert {128} <= set(product.heights()) <= {512, 128, 32, 8}


def test_a_height_with_other_bits_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = RowProduct._exact

    def fickle(self: RowProduct, row_NK: torch.Tensor) -> torch.Tensor:
        # A library that adds up in another order in small products, and in the upper half of large ones.
        out = exact(self, row_NK)
        if len(row_NK) == 8:
            out = out * (1 + 2.0**-23)
        if len(row_NK) == 512:
            out[300:] *= 1 + 2.0**-23
        return out

    monkeypatch.setattr(RowProduct, "_exact", fickle)
    monkeypatch.setattr(row_product, "_tried", {})
    product = RowProduct(matrix(20, 30))
    assert product.heights() == (128, 32)
    drive = rows(600, 20)
    assert torch.equal(product(drive)[5:6], product(drive[5:6]))


def test_a_tall_product_is_not_taken_beyond_its_size() -> None:
    assert 512 not in RowProduct(matrix(2, 20_000)).heights()


def test_the_gradient_is_that_of_the_product(packing: str) -> None:
    fixed, drive = matrix(5, 7), rows(300, 5).requires_grad_()
    weights = torch.arange(7.0)
    (gradient,) = torch.autograd.grad((RowProduct(fixed)(drive) @ weights).sum(), drive)
    # float32 over 7 terms of up to 6 x 4: some 7 x 2^-24 x 60
    assert torch.allclose(gradient, (fixed @ weights).expand(300, -1), rtol=0, atol=3e-5)
    with torch.no_grad():
        assert not RowProduct(fixed)(drive).requires_grad
