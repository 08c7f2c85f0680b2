"""A run folder that somebody made to do harm: nothing is run, nothing outside is read, nobody waits."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pickle
import shutil
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.characterisation import load as load_characterisation
from physnet.cli import main
from physnet.controls.store import ControlsFile
from physnet.errors import SessionError
from physnet.live.protocol import FILE as LIVE
from physnet.live.protocol import Address
from physnet.raw import open_raw
from physnet.report import report
from physnet.session import Run, Session, checkpoint, contents, layout, open_run
from physnet.session.figures import write_figures
from physnet.session.frames import TableName, dataset, frame
from physnet.session.safety import plain_json
from physnet.session.show import summary

SECRET = "what no one may see"
MOST_MEMORY = 32 << 20  # bytes; the files here have 0.2 MB at most, what they declare begins at 1 GB
posix = pytest.mark.skipif(os.name == "nt", reason="pipes, and links without rights, need POSIX")
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, damage: ModuleType) -> Path:
    folder: Path = tmp_path_factory.mktemp("whole") / "run"
    damage.make(folder, 0)
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of a run's folder."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture
def outside(whole: Path, tmp_path: Path) -> Path:
    """A folder beside the run that has the same files, sound ones: to follow a link would succeed."""
    return Path(shutil.copytree(whole, tmp_path / "outside"))


def _forge(run: Path, change: Callable[[h5py.File], None], *, sealed: bool = True) -> None:
    """Change a session and make all its hashes right again, as far as that can be done."""
    with h5py.File(run / "session.h5", "r+") as file:
        change(file)
        seals: list[tuple[Callable[..., None], str]] = [
            (contents.seal_description, "/"),
            (contents.seal_result, "entry"),
            (contents.seal_responses, "entry/layers/layer0/response"),
        ]
        for seal, path in seals if sealed else ():
            with contextlib.suppress(Exception):
                seal(file[path] if path != "/" else file)


def _said(run: Path) -> str:
    """Return all that people are shown of a run; an error's message is shown too."""
    with _little_memory():
        try:
            found = open_run(run)
        except SessionError as error:
            return str(error)
    said = summary(found) + report(found) + repr(found)
    with contextlib.suppress(SessionError):
        said += repr(found.weights())
    for name in get_args(TableName):
        frame(found, name)
    dataset(found)
    return said


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def _replaced(path: str, make: Callable[[h5py.Group, str], object]) -> Callable[[h5py.File], None]:
    """Put something else in an object's place, its attributes kept."""

    def change(file: h5py.File) -> None:
        parent, _, name = path.rpartition("/")
        group, attributes = file[parent or "/"], dict(file[path].attrs)
        del group[name]
        make(group, name)
        with contextlib.suppress(Exception):
            group[name].attrs.update(attributes)

    return change


PLACES = (
    "entry",
    "entry/title",
    "entry/configuration",
    "entry/systems",
    "entry/systems/slab/spec",
    "entry/layers/layer0/response",
    "entry/layers/layer0/response/mean",
    "entry/steps",
    "entry/steps/loss",
    "entry/events/message",
    "entry/weights/phase",
    "entry/result",
    "entry/result/message",
    "entry/result/confusion",
)
DATASETS = tuple(
    path for path in PLACES if path.rpartition("/")[2] not in {"entry", "systems", "response", "steps", "result"}
)


def _left_out(run: Path) -> bool:
    """Whether something was left out, or the run refused."""
    try:
        return bool(open_run(run).damaged_parts)
    except SessionError:
        return True


@pytest.mark.parametrize("path", PLACES)
def test_no_link_of_a_session_is_followed(run: Path, outside: Path, path: str) -> None:
    def external(group: h5py.Group, name: str) -> None:
        group[name] = h5py.ExternalLink(str(outside / "session.h5"), f"/{path}")

    _forge(run, _replaced(path, external))
    _said(run)
    assert _left_out(run)


@pytest.mark.parametrize("path", PLACES)
def test_no_link_within_a_session_is_followed(run: Path, path: str) -> None:
    def soft(file: h5py.File) -> None:
        parent, _, name = path.rpartition("/")
        file.move(path, "/elsewhere")
        file[parent or "/"][name] = h5py.SoftLink("/elsewhere")

    _forge(run, soft)
    _said(run)
    assert _left_out(run)


@pytest.mark.parametrize("path", DATASETS)
def test_nothing_that_lies_in_another_file_is_read(run: Path, outside: Path, path: str) -> None:
    (outside / "secret").write_bytes((SECRET.encode() * 4096)[: 1 << 16])

    def external(group: h5py.Group, name: str) -> None:
        shape, kind = before[name]
        size = max(1, int(np.prod(shape)) * np.dtype(kind).itemsize)
        group.create_dataset(name, shape=shape or (1,), dtype=kind, external=[(str(outside / "secret"), 0, size)])

    with h5py.File(run / "session.h5") as file:
        found = file[path]
        kind = "S64" if found.dtype.kind == "O" else found.dtype
        before = {path.rpartition("/")[2]: (found.shape, kind)}
    _forge(run, _replaced(path, external))
    assert SECRET not in _said(run)
    assert _left_out(run)


@pytest.mark.parametrize("path", DATASETS)
def test_no_virtual_dataset_is_followed(run: Path, outside: Path, path: str) -> None:
    def virtual(group: h5py.Group, name: str) -> None:
        shape, kind = before
        plan = h5py.VirtualLayout(shape or (1,), dtype=kind)
        plan[...] = h5py.VirtualSource(str(outside / "session.h5"), path, shape or (1,), dtype=kind)
        group.create_virtual_dataset(name, plan)

    with h5py.File(run / "session.h5") as file:
        before = file[path].shape, "S64" if file[path].dtype.kind == "O" else file[path].dtype
    _forge(run, _replaced(path, virtual))
    _said(run)
    assert _left_out(run)


def _huge(size: int, **options: Any) -> Callable[[h5py.Group, str], object]:
    return lambda group, name: group.create_dataset(name, **{"shape": (size,), "dtype": "<f8", **options})


@pytest.mark.parametrize("path", DATASETS)
@pytest.mark.parametrize(
    "make",
    [
        _huge(1 << 27, chunks=(1 << 20,)),
        _huge(1 << 47, chunks=(1 << 20,)),
        _huge(1 << 27),
        _huge(1 << 50),
        _huge(4, chunks=(1 << 27,), maxshape=(None,)),
        _huge(1 << 27, dtype=h5py.string_dtype(), chunks=(1 << 20,)),
        _huge(1, dtype=f"S{1 << 30}"),
    ],
)
def test_what_is_declared_takes_no_memory(run: Path, path: str, make: Callable[[h5py.Group, str], object]) -> None:
    _forge(run, _replaced(path, make), sealed=False)  # to hash it would take the memory
    _said(run)
    assert _left_out(run)


def _filtered(**options: Any) -> Callable[[h5py.Group, str], object]:
    return lambda group, name: group.create_dataset(name, data=np.zeros(30), chunks=(30,), **options)


@pytest.mark.parametrize("path", ["entry/steps/seconds", "entry/weights/phase", "entry/result/layer_accuracy"])
@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True}])
def test_nothing_packed_is_unpacked(run: Path, path: str, options: dict[str, Any]) -> None:
    _forge(run, _replaced(path, _filtered(**options)))
    _said(run)
    assert _left_out(run)


def test_no_filter_is_loaded_from_anywhere(run: Path) -> None:
    def unknown(group: h5py.Group, name: str) -> None:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((30,))
        plan.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (1, 2))  # Blosc: a plugin
        space = h5py.h5s.create_simple((30,))
        made = h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F64LE, space, dcpl=plan)
        made.write_direct_chunk((0,), bytes(240))

    _forge(run, _replaced("entry/steps/seconds", unknown))
    _said(run)
    assert _left_out(run)


ODD_TYPES: dict[str, Any] = {
    "object": h5py.ref_dtype,
    "region": h5py.regionref_dtype,
    "sequence": h5py.vlen_dtype(np.float64),
    "compound": np.dtype([("a", "<f8"), ("b", "S4")]),
    "array": np.dtype(("<f8", (3,))),
    "opaque": h5py.opaque_dtype(np.dtype("V8")),
    "enumeration": h5py.enum_dtype({"a": 1}),
}


@pytest.mark.parametrize("path", [*DATASETS, "entry/result/test_accuracy", "entry/classes"])
@pytest.mark.parametrize("kind", ODD_TYPES)
def test_a_value_of_another_type_is_none(run: Path, path: str, kind: str) -> None:
    with h5py.File(run / "session.h5") as file:
        shape = file[path].shape
    _forge(run, _replaced(path, lambda group, name: group.create_dataset(name, shape=shape, dtype=ODD_TYPES[kind])))
    _said(run)
    assert _left_out(run)


@pytest.mark.parametrize("value", [np.zeros(1 << 12), np.zeros(3, ODD_TYPES["compound"]), h5py.Empty("f8"), "x" * 40])
@pytest.mark.parametrize(
    ("path", "name"), [("/", "physnet_schema"), ("entry/steps", "metrics"), ("entry/layers/layer0", "index")]
)
def test_an_attribute_of_another_type_is_none(run: Path, path: str, name: str, value: Any) -> None:
    def change(file: h5py.File) -> None:
        file[path].attrs[name] = value

    _forge(run, change)
    assert "is damaged" in _said(run)


def test_one_array_under_many_names_takes_its_memory_once(run: Path) -> None:
    def change(file: h5py.File) -> None:
        weights = file["entry/weights"]
        weights["big"] = np.zeros(1 << 19)
        for attribute, value in {"name": "big", "written": 1}.items():
            weights["big"].attrs[attribute] = value
        for number in range(100):
            weights[f"again{number}"] = weights["big"]

    _forge(run, change)
    size = (run / "session.h5").stat().st_size
    assert size < 5 << 20
    _said(run)
    assert _left_out(run)


def test_groups_without_end_are_not_walked(run: Path) -> None:
    def change(file: h5py.File) -> None:
        group = file["entry/systems"]
        for _ in range(3000):
            group = group.create_group("slab2")
        file["entry/circle"] = file["entry"]
        file["entry/layers"].attrs.update({f"a{n}": n for n in range(20_000)})

    _forge(run, change)
    begun = time.perf_counter()
    _said(run)
    assert time.perf_counter() - begun < 20


FILES = (
    "session.h5",
    "checkpoints/epoch-000002.npz",
    "raw/00-slab-000001.h5",
    "controls.json",
    "characterisation-slab.h5",
)


def _read_all(run: Path) -> dict[str, Any]:
    """Read every file of a run by itself; None where it is refused."""
    readers: dict[str, Callable[[], Any]] = {
        "session.h5": lambda: open_run(run),
        "checkpoints/epoch-000002.npz": lambda: checkpoint.load(run / "checkpoints" / "epoch-000002.npz"),
        "raw/00-slab-000001.h5": lambda: open_raw(run),
        "controls.json": lambda: ControlsFile(run),
        "characterisation-slab.h5": lambda: load_characterisation(run / "characterisation-slab.h5"),
        LIVE: lambda: Address.read(run),
    }
    found = {}
    for name, read in readers.items():
        try:
            found[name] = read()
        except SessionError:
            found[name] = None
    return found


def test_sound_files_are_read(run: Path) -> None:
    found = _read_all(run)
    assert all(found[name] is not None for name in FILES)


@posix
@pytest.mark.parametrize("name", FILES)
def test_no_file_is_read_through_a_link(run: Path, outside: Path, name: str) -> None:
    (run / name).unlink()
    (run / name).symlink_to(outside / name)
    assert _read_all(run)[name] is None
    _said(run)


@posix
@pytest.mark.parametrize("name", ["checkpoints", "raw"])
def test_no_folder_is_read_through_a_link(run: Path, outside: Path, name: str) -> None:
    shutil.rmtree(run / name)
    (run / name).symlink_to(outside / name)
    found = open_run(run)
    if name == "raw":
        with pytest.raises(SessionError, match="link"):
            open_raw(run)
    else:
        assert found.checkpoints == []
    _said(run)


@posix
@pytest.mark.parametrize("name", [*FILES, LIVE])
def test_nobody_waits_for_a_pipe(run: Path, name: str) -> None:
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    done = threading.Event()

    def read() -> None:
        assert _read_all(run)[name] is None
        done.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert done.wait(20)
    if name != "session.h5":
        _said(run)


@pytest.mark.parametrize("name", [*FILES, LIVE])
def test_a_folder_in_the_place_of_a_file_is_refused(run: Path, name: str) -> None:
    (run / name).unlink(missing_ok=True)
    (run / name).mkdir()
    assert _read_all(run)[name] is None
    _said(run)


@posix
@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device")
@pytest.mark.parametrize("name", [*FILES, LIVE])
def test_no_device_is_read(run: Path, name: str) -> None:
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to("/dev/zero")
    assert _read_all(run)[name] is None


def _npz(path: Path, members: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def _npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), **options)
    return buffer.getvalue()


def _header(text: str) -> bytes:
    data = text.encode()
    return b"\x93NUMPY\1\0" + len(data).to_bytes(2, "little") + data


def _record(**changes: Any) -> bytes:
    values = {
        "format": 2,
        "epoch": 0,
        "step": 1,
        "sha256": "0" * 64,
        "tensors": [],
        "arrays": [],
        "state": {},
        **changes,
    }
    return _npy(np.frombuffer(json.dumps(values).encode(), np.uint8))


class _Trap:
    """What leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["PHYSNET_TRAP"],)


BOMBS = {
    "shape": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1125899906842624,), }\n"),
    "shapes": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }\n") + bytes(8),
    "void": _header("{'descr': '|V1073741824', 'fortran_order': False, 'shape': (0,), }\n"),
    "record": _header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }\n") + bytes(8),
    "nested": _header("(" * 9000),
    "lists": _header("[" * 3000 + "]" * 3000),
    "token": _header("{'descr': '<f8', 'shape': (1L,\n"),
    "call": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (__import__('os').getpid(),), }\n"),
    "digits": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }\n"),
    "empty": b"",
}


@pytest.mark.parametrize("name", BOMBS)
def test_an_array_is_what_the_file_holds_of_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "epoch-000000.npz"
    _npz(path, {"W": BOMBS[name], checkpoint.RECORD: _record(tensors=["W"])})
    with _little_memory(), pytest.raises(SessionError, match="checkpoint"):
        checkpoint.load(path)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap, path = tmp_path / "trap", tmp_path / "epoch-000000.npz"
    monkeypatch.setenv("PHYSNET_TRAP", str(trap))
    array = np.empty(1, object)
    array[0] = _Trap()
    members = {"W": _npy(array, allow_pickle=True), "V": pickle.dumps(_Trap())}
    for number, (name, data) in enumerate(members.items()):
        _npz(path, {name: data, checkpoint.RECORD: _record(tensors=[name])})
        with pytest.raises(SessionError):
            checkpoint.load(path)
        assert number < 2 and not trap.exists()


def test_a_checkpoint_does_not_unpack_to_more_than_it_is(tmp_path: Path) -> None:
    path = tmp_path / "epoch-000000.npz"
    _npz(path, {"W": _npy(np.zeros(1 << 25)), checkpoint.RECORD: _record()}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(SessionError, match="compressed"):
        checkpoint.load(path)
    _npz(path, {"W": _npy(np.zeros(1 << 17)), checkpoint.RECORD: _record()})
    # the directory names the same part again and again
    data = path.read_bytes()
    start, tail = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry = data[start : data.index(b"PK\1\2", start + 1)]
    entries = entry * 1000
    end = bytearray(data[tail:])
    end[8:10] = end[10:12] = (1000).to_bytes(2, "little")
    end[12:16] = len(entries).to_bytes(4, "little")
    path.write_bytes(data[:start] + entries + end)
    with _little_memory(), pytest.raises(SessionError, match=r"overlap|can't be read|cut short"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "record",
    [
        b"[" * 100_000,
        b'{"format": 1e999, "epoch": 0, "step": 0}',
        b'{"format": 2, "epoch": NaN, "step": 0, "sha256": "", "tensors": []}',
        b'{"format": 2, "epoch": ' + b"9" * 5000 + b"}",
        b'{"format": 2, "epoch": 0, "step": 0, "sha256": "", "tensors": 5}',
        b'{"format": 2, "epoch": 0, "step": 0, "sha256": "", "tensors": [], "state": 5}',
        b"5",
        b"\xff",
    ],
)
def test_a_record_that_is_none_is_refused(tmp_path: Path, record: bytes) -> None:
    path = tmp_path / "epoch-000000.npz"
    _npz(path, {checkpoint.RECORD: _npy(np.frombuffer(record, np.uint8))})
    with pytest.raises(SessionError, match="checkpoint"):
        checkpoint.load(path)


def test_a_name_that_is_a_path_leads_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "epoch-000000.npz"
    path.parent.mkdir()
    _npz(path, {"../../evil": _npy(np.zeros(2)), "/tmp/evil": _npy(np.zeros(2)), checkpoint.RECORD: _record()})
    with pytest.raises(SessionError, match="hash"):
        checkpoint.load(path)
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 500 + "]" * 500, '{"a": ' * 70 + "1" + "}" * 70, "9" * 5000])
def test_json_that_would_break_who_reads_it_is_refused(run: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|deep|digits|Exceeds"):
        plain_json(text)
    (run / "controls.json").write_text(text)
    with pytest.raises(SessionError, match=r"controls.json can't be read"):
        ControlsFile(run)
    for path in ("entry/configuration", "entry/environment", "entry/data", "entry/systems/slab/spec"):
        _forge(run, _replaced(path, lambda group, name: group.create_dataset(name, data=text)))
        assert _left_out(run)
    _said(run)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": [1]},
        {"seed": True},
        {"test_accuracy": "0.5"},
        {"test_accuracy": None},
        {"passes": 10**4000},
        {"control": 5},
        {"assumed": "text"},
        {"train_rows": 0},
    ],
)
def test_controls_of_another_kind_are_refused(run: Path, change: dict[str, Any]) -> None:
    table = json.loads((run / "controls.json").read_text())
    table["trainings"][0] |= change
    text = json.dumps([table["run"], table["trainings"]], sort_keys=True)
    table["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (run / "controls.json").write_text(json.dumps(table))
    with pytest.raises(SessionError, match=r"controls|training must have"):
        ControlsFile(run)


EVIL = "\x1b]0;mine\x07\x1b[2J\x9b31m\rtest  100 %\n\u202eabc\x00"


def _named(folder: Path, small_run: ModuleType, evil: str) -> Path:
    plan = small_run.plan()
    spec = {"kind": f"kind{evil}", "drive": {"shape": [evil], "unit": evil}, "identity": {evil: evil}}
    plan = dataclasses.replace(
        plan,
        title=evil,
        layers=(f"one{evil}", f"two{evil}"),
        systems={f"slab{evil}": spec, "bench": {}},
        layer_systems=(f"slab{evil}", "bench"),
        classes=tuple(f"{n}{evil}" for n in range(4)),
        configuration={evil: {evil: evil}},
        data={"name": evil, evil: {evil: evil}},
        metrics={"loss": evil, "goodness_gap": evil},
    )
    with Session.create(folder, plan) as session:
        session.responses(small_run.statistics(0))
        for number in range(3):
            session.step(small_run.step(number))
        session.epoch(small_run.epoch(0))
        session.event("warning", evil)
        session.finish(small_run.result(message=evil, baselines={evil: 0.5}, passes={evil[:5]: 3}), small_run.tensors())
    return folder


def test_no_name_moves_the_cursor(tmp_path: Path, small_run: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    # HDF5's names end at a zero
    folder = _named(tmp_path / "run", small_run, EVIL.replace("\x00", ""))
    found = open_run(folder)
    assert EVIL[:5] in found.title
    assert not [c for c in summary(found) if c != "\n" and not c.isprintable()]
    assert "\x1b" not in report(found)
    assert "\\x1b" in summary(found)
    assert not [line for line in summary(found).splitlines() if line.startswith("test  100 %")]
    assert main(["show", str(folder)]) == 0
    with h5py.File(folder / "session.h5", "r+") as file:
        file.attrs["physnet_schema"], file.attrs["physnet_version"] = 99, EVIL[:-1]
    assert main(["show", str(folder)]) == 2
    said = "".join(capsys.readouterr())
    assert "\x1b" not in said and "\x9b" not in said and "\r" not in said


@pytest.mark.parametrize("evil", ["$x^{$", "$\\frac$", "%s{0}{x!r}", "<b>&amp;", "a\\nb", "[red]x[/]"])
def test_a_name_that_means_something_to_somebody_is_only_a_name(
    tmp_path: Path, small_run: ModuleType, evil: str
) -> None:
    found = open_run(_named(tmp_path / "run", small_run, evil))
    assert evil in summary(found)
    assert "<b>" not in report(found).replace("<body>", "")
    assert len(write_figures(found, tmp_path / "figures")) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        name: JSON
        for name in (
            "drive", "response", "kind", "identity", "cost", "nonlinearity", "shape", "axes", "low", "high", "unit",
            "full_scale", "git_commit", "git_changes", "versions", "rows", "name", "sha256", "source", "frame", "rule",
            "systems", "layers", "domain", "max_sum", "title", "base", "output", "controls", "seed",
        )
    },
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(described=KNOWN, drive=KNOWN, response=KNOWN)
def test_whatever_a_run_says_of_itself_can_be_shown(
    tmp_path_factory: pytest.TempPathFactory, small_run: ModuleType, described: Any, drive: Any, response: Any
) -> None:
    spec = {**described, "drive": drive, "response": response, "cost": drive}
    plan = dataclasses.replace(
        small_run.plan(), configuration=described, data=described, systems={"slab": spec, "bench": described}
    )
    folder = tmp_path_factory.mktemp("any") / "run"
    with Session.create(folder, plan) as session:
        session.responses(small_run.statistics(0))
        session.step(small_run.step(0))
        session.finish(small_run.result(), small_run.tensors(2.0))
    found: Run = dataclasses.replace(open_run(folder), environment=described)
    assert summary(found) and report(found)
    assert found.schema == layout.SCHEMA
