"""What is drawn of any system, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import PowerNorm
from numpy.typing import NDArray
from PIL import Image as Picture

import physnet
from physnet.contracts import DriveSpec, ResponseSpec, SystemSpec
from physnet.errors import InputError, ResponseError
from physnet.function_system import FunctionSystem
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port
from physnet.viewing import Axis, Curve, Field, Geometry, Image, Panel, Points
from physnet.viewing.drawing import scale_of
from physnet.viewing.drives import FEW, choose_drives
from physnet.viewing.figures import at
from physnet.viewing.picture import MOST_NUMBERS
from physnet.viewing.units import prefix
from physnet.viewing.view import REPEATS, view


class Pond(FunctionSystem):
    """A function that also shows a field: rings whose size is the mean of the drive."""

    def geometry(self) -> Geometry:
        points = Points(x_K=np.array([0.1]), y_K=np.array([0.2]), label="stone", kind="source")
        place = Axis(name="x", unit="m")
        return Geometry(panels=(Panel(title="pond", x=place, y=place, points=(points,), alike=True),))

    def field(self, drive: NDArray[Any], *, frames: int = 96, pixels: int = 40_000) -> Field:
        y, x = np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 16), indexing="ij")
        at_F = np.linspace(0, 1e-3, 5)
        values = float(drive.mean()) * np.cos(9 * np.hypot(x, y)[None] - 6e3 * at_F[:, None, None])
        image = Image(values=values, extent=(0, 2, 0, 1), quantity=Axis(name="height", unit="m"), signed=True)
        place, time = Axis(name="x", unit="m"), Axis(name="time", unit="s")
        curve = Curve(x_T=at_F, y_T=values[:, 3, 3], label="a float")
        level = Axis(name="height", unit="m")
        return Field(
            panels=(
                Panel(title="rings", x=place, y=place, images=(image,), alike=True),
                Panel(title="a float", x=time, y=level, curves=(curve,), cursor=True),
            ),
            along=time,
            at_F=at_F,
            readout=drive * 2,
        )


def pond(**options: Any) -> Pond:
    made = physnet.system(lambda drive: 2 * drive, **{"drives": 5, "responses": 5, "name": "pond", **options})
    return Pond(made, made.spec)


def test_a_system_with_a_field_gets_all_files(tmp_path: Path) -> None:
    seen = view(pond(), tmp_path / "out", seed=3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "field.gif",
        "field.png",
        "geometry.png",
        "response.png",
    ]
    assert seen.frames == 5 and seen.passes == FEW - 1 + REPEATS
    assert seen.deviation == 0  # doubling is exact
    with Picture.open(seen.files["movie"]) as movie:
        assert movie.n_frames == 5  # type: ignore[attr-defined]


def test_a_black_box_gets_its_response_drawn_and_is_told_so(tmp_path: Path) -> None:
    seen = view(physnet.system(np.tanh, drives=3, responses=3), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["response.png"]
    assert seen.frames == 0 and "shows no field" in seen.notes[0] and seen.deviation is None


def test_methods_that_mean_something_else_are_told_apart(tmp_path: Path) -> None:
    class Mount(Pond):
        def geometry(self) -> Any:
            return "on the left table"

    made = pond()
    with pytest.raises(InputError, match=r"geometry\(\) of a system must return a physnet.viewing.Geometry, got str"):
        view(Mount(made, made.spec), tmp_path)


def test_a_measured_system_is_not_driven_unless_it_may(tmp_path: Path) -> None:
    played: list[int] = []

    def bench(drive: NDArray[Any]) -> NDArray[Any]:
        played.append(len(drive))
        return drive

    system = physnet.system(bench, drives=3, responses=3, kind="measured")
    with pytest.raises(InputError, match="--yes"):
        view(system, tmp_path / "out")
    assert not played and not (tmp_path / "out").exists()
    view(system, tmp_path, permitted=True)
    assert sum(played) == FEW - 1 + REPEATS


@pytest.mark.parametrize(
    "spec",
    [
        DriveSpec(shape=(7,), low=0.1, high=(0.3,) * 7, dtype="float32"),
        DriveSpec(shape=(3, 3), low=-1.0, high=2.0, max_rms=0.5, unit="V"),
        DriveSpec(shape=(4,), domain="binary", dtype="uint8"),
        DriveSpec(shape=(2,), high=0.1, dtype="complex64"),
    ],
    ids=["float32", "rms", "binary", "complex"],
)
@pytest.mark.parametrize("choice", ["random", "one"])
def test_what_is_played_is_allowed(spec: DriveSpec, choice: str) -> None:
    system = FunctionSystem(
        lambda drive: np.abs(drive.reshape(len(drive), -1)[:, :2]).astype(np.float64),
        SystemSpec(name="box", kind="simulated", drive=spec, response=ResponseSpec(shape=(2,))),
    )
    drive = choose_drives(system.spec, choice, seed=0)
    Port(system).measure(drive, pass_numbers(Purpose.CALIBRATE, rows=FEW))  # refuses what the spec does not allow
    rows = drive.reshape(FEW, -1)
    if choice == "one":
        assert all(np.unique(row, return_counts=True)[1].min() == 1 for row in rows)
    assert np.array_equal(rows, choose_drives(system.spec, choice, seed=0).reshape(FEW, -1))


def test_rows_of_a_file_are_shown_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.npy"
    np.save(file, np.array([[0.5, 0.25, 0.0]]))
    spec = physnet.system(np.tanh, drives=3, responses=3).spec
    assert choose_drives(spec, str(file), seed=0)[0].tolist() == [0.5, 0.25, 0.0]
    np.save(file, np.array([0.5, 2.0, 0.0]))
    with pytest.raises(InputError, match=r"rows\.npy: drive .* must be 0 to 1 1 in channel 1, got 2"):
        choose_drives(spec, str(file), seed=0)
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="a file of numpy"):
        choose_drives(spec, str(file), seed=0)


def test_a_field_has_a_bounded_size_and_a_value_for_each_frame() -> None:
    place = Axis(name="x", unit="m")

    def field(frames: int, shape: tuple[int, ...]) -> Field:
        image = Image(values=np.broadcast_to(np.zeros(1), shape), extent=(0, 1, 0, 1), quantity=place)
        return Field(panels=(Panel(title="p", x=place, y=place, images=(image,)),), along=place, at_F=np.zeros(frames))

    with pytest.raises(ResponseError, match="a frame for each of the 3"):
        field(3, (2, 4, 4))
    with pytest.raises(ResponseError, match=f"at most {MOST_NUMBERS} numbers"):
        field(2, (2, MOST_NUMBERS, 1))


def test_scales_suit_what_is_drawn() -> None:
    place = Axis(name="x", unit="m")

    def limits(values: NDArray[Any], **options: Any) -> tuple[Any, Any, str]:
        norm, _, beyond = scale_of(values, Image(values=values, extent=(0, 1, 0, 1), quantity=place, **options))
        return norm.vmin, norm.vmax, beyond

    waves = np.append(np.linspace(-1.0, 1.0, 1001), np.nan)[None]
    assert limits(waves, signed=True) == (-1.0, 1.0, "neither")  # diverging about zero
    waves[0, 700] = 5.0  # beside a source
    low, high, beyond = limits(waves, signed=True)
    assert low == -high and 0.99 < high < 1.01 and beyond == "both"
    light = np.abs(waves)
    assert limits(np.minimum(light, 1.9))[:2] == (0.0, 1.9)  # nothing is cut off that can be shown
    norm, _, beyond = scale_of(light, Image(values=light, extent=(0, 1, 0, 1), quantity=place))
    assert isinstance(norm, PowerNorm) and (norm.vmin, norm.vmax, beyond) == (0.0, 5.0, "neither")  # a focus
    assert limits(np.array([[0.0, 2.0]]))[0] == 0  # what begins at zero is drawn from there
    assert limits(np.array([[330.0, 350.0]]))[0] == 330.0  # and what is far from it is not
    assert limits(np.array([[1e-9, 1.0]]), decades=2.0)[0] == pytest.approx(0.01, rel=0.01)
    assert limits(np.zeros((2, 2)), signed=True)[:2] == (-1.0, 1.0)  # silence has a scale too


@pytest.mark.parametrize(
    ("at_F", "unit", "frame", "said"),
    [
        (np.arange(1, 91) / 18e3, "s", 0, "time 0.06 ms"),
        (np.arange(1, 91) / 18e3, "s", 89, "time 5.00 ms"),
        (np.arange(13.0), "1", 12, "time 12"),
        (2.377e9 + 3.675e6 * np.arange(41), "Hz", 40, "time 2.524 GHz"),
        (np.append(np.arange(60) * 31.64e-6, 1.0), "m", 40, "time 1.27 mm"),
        (np.append(np.arange(60) * 31.64e-6, 1.0), "m", 60, "time 1 m"),
        (np.array([0.0]), "s", 0, "time 0 s"),
    ],
)
def test_a_frame_is_told_with_the_decimals_that_tell_it_from_the_next(
    at_F: NDArray[np.float64], unit: str, frame: int, said: str
) -> None:
    quantity = Axis(name="x", unit="m")
    curve = Curve(x_T=np.arange(2.0), y_T=np.zeros((len(at_F), 2)))
    panel = Panel(title="p", x=quantity, y=quantity, curves=(curve,))
    assert at(Field(panels=(panel,), along=Axis(name="time", unit=unit), at_F=at_F), frame) == said


@pytest.mark.parametrize(
    ("unit", "largest", "factor", "named"),
    [("m", 2.5e-5, 1e6, "µm"), ("s", 1e-3, 1e3, "ms"), ("Hz", 2.45e9, 1e-9, "GHz"), ("1", 0.4, 1, "1")],
)
def test_axes_have_the_prefix_that_suits_them(unit: str, largest: float, factor: float, named: str) -> None:
    found, name = prefix(unit, largest)
    assert found == pytest.approx(factor) and name == named


def test_small_numbers_of_a_compound_unit_have_a_power_of_ten() -> None:
    factor, named = prefix("Pa2 s", 1.2e-3)
    assert factor == pytest.approx(1e3) and named == "10⁻³ Pa² s"
