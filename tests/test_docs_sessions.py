"""The description of a session names all that is in one."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np

from physnet.records import RunPlan
from physnet.session import layout

TEXT = (Path(__file__).parents[1] / "docs" / "sessions.md").read_text(encoding="utf-8")


def test_every_group_dataset_and_attribute_is_described() -> None:
    plan = RunPlan(
        title="t",
        configuration={},
        seed=0,
        layers=("a",),
        metrics={"loss": "1"},
        classes=("x", "y"),
        systems={"slab": {"kind": "simulated"}},
        layer_systems=("slab",),
        response_channels=(2,),
        tensors={"W": np.zeros(1)},
        data={},
    )
    names: set[str] = set()
    with h5py.File(io.BytesIO(layout.build(plan).whole())) as file:
        names |= set(file.attrs)

        def gather(path: str, part: h5py.Group | h5py.Dataset) -> None:
            names.update({path.rpartition("/")[2], *part.attrs})

        file.visititems(gather)
    own = {"a", "slab", "W", "loss"}  # what the plan named
    style = {"NX_class", "axes", "signal", "default", "media_type", "long_name"}  # of NeXus
    purposes = set(layout.PURPOSES) | {"passes"}
    missing = [name for name in sorted(names - own - style - purposes) if name not in TEXT]
    assert not missing


def test_the_schema_described_is_the_one_written() -> None:
    assert f"## The layout, schema {layout.SCHEMA}" in TEXT
    assert f"- Schema {layout.SCHEMA}:" in TEXT
