"""Digital stand-ins: how close they come, what they say of it, and what is made of their files."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physnet.contracts import DriveSpec, Passes, PhysicalSystem, Reading, ResponseSpec, SystemSpec
from physnet.errors import DriveError, SessionError, StorageError
from physnet.function_system import system as wrapped
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port
from physnet.raw import RawSystem, RawWriter, open_raw
from physnet.simulators.scattering import ScatteringMedium
from physnet.testing import SystemConformance
from physnet.twins import Pairs, Twin, TwinSystem, fit_twin, load_pairs, load_twin, save_twin
from physnet.twins.model import Kind
from physnet.weights import sha256

DRIVES, RESPONSES, ROWS = 8, 6, 400


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are faster on one thread, whatever else the machine does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def record(
    folder: Path, system: PhysicalSystem, *, rows: int = ROWS, repeats: int = 1, high: float = 1.0
) -> tuple[RawSystem, Pairs]:
    drive = np.random.default_rng(0).random((rows, DRIVES)) * high
    port = Port(system)
    with RawWriter(folder, {"bench": port.spec}) as writer:
        port.on_exchange = writer.observer("bench")
        for number in range(repeats):
            port.measure(drive, np.arange(rows) + number * rows)
    raw = open_raw(folder).system()
    return raw, load_pairs(raw)


def medium(**options: Any) -> ScatteringMedium:
    return ScatteringMedium(drives=DRIVES, responses=RESPONSES, seed=3, **options)


def test_no_twin_is_fitted_to_placed_rows(tmp_path: Path) -> None:
    port = Port(medium(), dark_rows=2, reference_rows=3)
    drive = np.random.default_rng(0).random((60, DRIVES))
    with RawWriter(tmp_path, {"bench": port.spec}) as writer:
        port.on_exchange = writer.observer("bench")
        for number in range(6):
            rows = slice(10 * number, 10 * number + 10)
            port.measure(drive[rows], pass_numbers(Purpose.TRAIN, step=number, rows=10))
    raw = open_raw(tmp_path).system()
    pairs = load_pairs(raw)
    assert raw.rows == 60 + 6 * 5
    assert (pairs.rows, pairs.drives, pairs.left_out) == (60, 60, 0)


class Optics:
    """Takes a complex field, and lets its field be seen."""

    def __init__(self, matrix: NDArray[Any]) -> None:
        self._matrix = matrix
        self.spec = SystemSpec(
            name="optics",
            kind="measured",
            drive=DriveSpec(shape=(DRIVES,), low=0, high=2, dtype="complex64"),
            response=ResponseSpec(shape=(RESPONSES,), dtype="complex64"),
        )

    def measure(self, drive: NDArray[Any], passes: Passes) -> Reading:
        return Reading(response=(drive @ self._matrix).astype(np.complex64))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""


def error(folder: Path, system: PhysicalSystem, kind: Kind, **options: Any) -> float:
    raw, pairs = record(folder, system, **options)
    return fit_twin(raw, pairs, kind).report.error


def test_a_linear_system_has_a_linear_twin(tmp_path: Path) -> None:
    matrix = np.random.default_rng(1).standard_normal((DRIVES, RESPONSES))
    bench = wrapped(lambda drive: drive @ matrix + 5, drives=DRIVES, responses=RESPONSES)
    # Single precision, on both sides, of numbers about ten times as large as their spread.
    assert error(tmp_path, bench, "linear") < 1e-5


@pytest.mark.parametrize("camera", ["modulus", "intensity"])
def test_a_coherent_twin_finds_the_field_behind_a_detector_and_which_detector_it_is(
    tmp_path: Path, camera: Any
) -> None:
    raw, pairs = record(tmp_path, medium(camera=camera))
    twin, linear = fit_twin(raw, pairs, "coherent"), fit_twin(raw, pairs, "linear")
    assert twin.model.head == camera
    # the fit goes on until single precision ends it; 1e-2 would be a value that got stuck in a false minimum
    assert twin.report.error < 1e-3 < 1e-1 < linear.report.error


def test_a_coherent_twin_takes_phases_and_complex_drives_as_fields(tmp_path: Path) -> None:
    assert error(tmp_path / "phase", medium(modulator="phase"), "coherent", high=3.0) < 1e-3
    random = np.random.default_rng(2)
    matrix = random.standard_normal((DRIVES, RESPONSES)) + 1j * random.standard_normal((DRIVES, RESPONSES))
    bench = Optics(matrix)
    drive = np.exp(1j * np.random.default_rng(0).random((ROWS, DRIVES)) * 6)
    port = Port(bench)
    with RawWriter(tmp_path / "field", {"bench": port.spec}) as writer:
        port.on_exchange = writer.observer("bench")
        port.measure(drive, np.arange(ROWS))
    raw = open_raw(tmp_path / "field").system()
    pairs = load_pairs(raw)
    for kind in ("linear", "coherent", "mlp"):
        twin = fit_twin(raw, pairs, kind)
        assert twin.model.head == "complex"
        assert twin.report.error < (0.3 if kind == "mlp" else 1e-3)
    save_twin(twin, tmp_path / "twin.npz")
    answer = Port(TwinSystem(path=tmp_path / "twin.npz")).measure(drive, np.arange(ROWS)).response
    assert torch.as_tensor(answer).dtype == torch.complex64


def test_a_network_follows_what_no_matrix_can(tmp_path: Path) -> None:
    matrix = np.random.default_rng(1).standard_normal((DRIVES, RESPONSES))
    bench = wrapped(lambda drive: np.tanh(2 * (drive - 0.5) @ matrix), drives=DRIVES, responses=RESPONSES)
    raw, pairs = record(tmp_path, bench, rows=500)
    errors = {kind: fit_twin(raw, pairs, kind).report.error for kind in ("linear", "mlp")}
    assert errors["mlp"] < errors["linear"] / 2


def test_held_out_drives_are_in_no_other_part_and_their_repeats_go_with_them(tmp_path: Path) -> None:
    _, pairs = record(tmp_path, medium(), repeats=3)
    parts = [{row.tobytes() for row in part.drive} for part in (pairs.train, pairs.validation, pairs.held_out)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == pairs.drives == ROWS
    assert len(pairs.held_out) == 3 * len(parts[2]) == 3 * 80
    assert (pairs.rows, pairs.repeats) == (3 * ROWS, 2 * ROWS)


def noisy(deviation: float) -> PhysicalSystem:
    random, matrix = np.random.default_rng(5), np.random.default_rng(1).standard_normal((DRIVES, RESPONSES))
    return wrapped(
        lambda drive: drive @ matrix + random.normal(0, deviation, (len(drive), RESPONSES)),
        drives=DRIVES,
        responses=RESPONSES,
    )


def test_the_noise_floor_is_what_repeated_drives_differ_by(tmp_path: Path) -> None:
    raw, pairs = record(tmp_path, noisy(0.5), repeats=4)
    report = fit_twin(raw, pairs, "linear").report
    spread = float(pairs.held_out.response_NR.std(axis=0).mean())
    # 1200 degrees of freedom times 6 values: the estimate is good to 1 / sqrt(2 * 7200) = 0.8 %; five of them
    assert abs(report.noise_floor / (0.5 / spread) - 1) < 0.1
    # the fit itself errs by about sqrt(9 / 272) of the noise beside it
    assert 0.95 * report.noise_floor < report.error < 1.1 * report.noise_floor


def test_without_repeats_the_noise_floor_is_not_known(tmp_path: Path) -> None:
    raw, pairs = record(tmp_path, noisy(0.5))
    report = fit_twin(raw, pairs, "linear").report
    assert np.isnan(report.noise_floor) and report.as_dict()["noise_floor"] is None


def test_noise_alone_is_not_explained_on_held_out_drives(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    bench = wrapped(lambda drive: random.normal(0, 1, (len(drive), RESPONSES)), drives=DRIVES, responses=RESPONSES)
    raw, pairs = record(tmp_path, bench, rows=200)
    for kind in ("linear", "mlp"):
        # 40 held-out rows of 6 values: the spread of the error is about 1 / sqrt(2 * 240) = 5 %
        assert fit_twin(raw, pairs, kind).report.error > 0.9


def test_more_rows_than_fit_into_memory_are_left_out_by_their_drives(tmp_path: Path) -> None:
    raw, _ = record(tmp_path, medium(), repeats=2)
    pairs = load_pairs(raw, most_bytes=40_000)
    assert pairs.left_out > 0 and pairs.rows + pairs.left_out == 2 * ROWS
    assert pairs.rows == 2 * pairs.drives


def test_too_few_drives_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="at least 20 different drives, got 12"):
        record(tmp_path, medium(), rows=12)


def test_the_same_rows_and_seed_give_the_same_file(tmp_path: Path) -> None:
    raw, pairs = record(tmp_path, medium(), rows=100)
    before = torch.get_rng_state()
    names = ("a", "b")
    for name in names:
        for kind in ("coherent", "mlp"):
            twin = fit_twin(raw, pairs, kind)
            twin = Twin(**{**vars(twin), "report": fixed(twin)})
            save_twin(twin, tmp_path / f"{name}-{kind}.npz")
    for kind in ("coherent", "mlp"):
        assert (tmp_path / f"a-{kind}.npz").read_bytes() == (tmp_path / f"b-{kind}.npz").read_bytes()
    assert torch.equal(torch.get_rng_state(), before)


def fixed(twin: Twin) -> Any:
    """The report without the time that the fit took."""
    return type(twin.report)(**{**vars(twin.report), "seconds": 0.0})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    raw, pairs = record(tmp_path / "run", medium(), rows=100)
    path = tmp_path / "twin.npz"
    save_twin(fit_twin(raw, pairs, "linear", source={"run": "night-1", "title": "µ"}), path)
    return path


def test_a_twin_comes_back_and_never_passes_for_what_it_stands_in_for(file: Path) -> None:
    twin, digest = load_twin(file)
    system = TwinSystem(path=file, name="stand-in")
    spec = system.spec
    assert spec.kind == "twin" and spec.repeatable and spec.reproducible and not spec.stateful
    assert spec.drive == medium().spec.drive
    assert spec.identity["twin_of"] == "bench" and spec.identity["recorded_kind"] == "simulated"
    assert (spec.identity["run"], spec.identity["title"]) == ("night-1", "µ")
    assert spec.identity["held_out_error"] == twin.report.error
    assert spec.identity["sha256"] == digest


def test_a_drive_out_of_the_recorded_range_is_refused_by_the_port(file: Path) -> None:
    with pytest.raises(DriveError, match="nothing was sent"):
        Port(TwinSystem(path=file)).measure(np.full((1, DRIVES), 1.5), np.arange(1))


def test_a_disk_that_refuses_leaves_no_half_of_a_twin(tmp_path: Path, file: Path) -> None:
    twin, _ = load_twin(file)
    with pytest.raises(StorageError, match="-o"):
        save_twin(twin, tmp_path / "nowhere" / "twin.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "twin.npz"]


def test_any_change_of_a_byte_is_noticed(file: Path) -> None:
    good, sound = file.read_bytes(), load_twin(file)[1]
    random, refused = np.random.default_rng(0), 0
    for where in random.integers(0, len(good), 200):
        data = bytearray(good)
        data[where] ^= 1 << int(random.integers(8))
        file.write_bytes(data)
        try:
            assert load_twin(file)[1] == sound  # a time or a flag of the archive that nobody reads
        except SessionError:
            refused += 1
    assert refused > 150
    for length in (0, 10, len(good) // 2, len(good) - 1):
        file.write_bytes(good[:length])
        with pytest.raises(SessionError, match="not a sound twin"):
            load_twin(file)


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda held: held.pop("weight0.npy"),
        lambda held: held.update({"weight0.npy": npy(np.array([{"a": 1}], dtype=object))}),
        lambda held: held.update({"weight0.npy": npy(np.zeros(9, np.float32))}),
        lambda held: held.update({"weight0.npy": held["weight0.npy"][:-8]}),
        lambda held: held.update({"weight0.npy": held["weight0.npy"].replace(b"(8, 6)", b"(9**9", 1)}),
        lambda held: held.update({"weight0.npy": held["weight0.npy"].replace(b"(8, 6)", b"(8,99)", 1)}),
        lambda held: held.pop("__twin__.npy"),
        lambda held: held.update({"notes.txt": b"mine"}),
    ],
)
def test_a_file_that_someone_made_is_refused(file: Path, change: Callable[[dict[str, bytes]], Any]) -> None:
    held = entries(file)
    change(held)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    with pytest.raises(SessionError, match="not a sound twin"):
        load_twin(file)


def test_a_compressed_file_is_refused(file: Path) -> None:
    held = entries(file)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    with pytest.raises(SessionError, match="not a sound twin"):
        load_twin(file)


def test_a_newer_format_asks_for_an_update(file: Path) -> None:
    with np.load(file) as held:
        arrays = {name: held[name] for name in held if name != "sha256"}
    record = json.loads(arrays["__twin__"].tobytes()) | {"format": 99}
    arrays["__twin__"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    digest = np.frombuffer(sha256(arrays).encode(), np.uint8)
    np.savez(file, **arrays, sha256=digest)
    with pytest.raises(SessionError, match="Update physnet"):
        load_twin(file)


def test_a_spec_that_does_not_go_with_the_numbers_is_refused(file: Path) -> None:
    with np.load(file) as held:
        arrays = {name: held[name] for name in held if name != "sha256"}
    record = json.loads(arrays["__twin__"].tobytes())
    record["spec"] = record["spec"].replace(f'"shape": [{DRIVES}]', '"shape": [1099511627776]', 1)
    arrays["__twin__"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    digest = np.frombuffer(sha256(arrays).encode(), np.uint8)
    np.savez(file, **arrays, sha256=digest)
    with pytest.raises(SessionError, match="its numbers are not those of a system with 1099511627776 drives"):
        load_twin(file)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="physnet twin RUN"):
        TwinSystem(path=tmp_path / "none.npz")


class TwinConformance(SystemConformance):
    kind: Kind = "linear"
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self._path = tmp_path / "twin.npz"
        raw, pairs = record(tmp_path, medium(**self.options), rows=60)
        save_twin(fit_twin(raw, pairs, self.kind), self._path)

    def make_system(self) -> PhysicalSystem:
        return TwinSystem(path=self._path)


class TestLinear(TwinConformance):
    pass


class TestCoherent(TwinConformance):
    kind: Kind = "coherent"
    options = {"modulator": "phase"}  # noqa: RUF012


class TestMlp(TwinConformance):
    kind: Kind = "mlp"
