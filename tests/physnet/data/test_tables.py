from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.data import load_features, load_table
from physnet.errors import DataError

CSV = "width,height,kind,night\n1,2.5,open,1\n3,4e-1,shut,1\n5,-6,open,2\n"
X = np.array([[1, 2.5], [3, 0.4], [5, -6]], dtype=np.float32)


def csv(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return path


def hdf5(folder: Path, **arrays: Any) -> Path:
    path = folder / "mine.h5"
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return path


@pytest.mark.parametrize(
    "text",
    [CSV, "\ufeff" + CSV, CSV.replace("\n", "\r\n"), CSV + "\n\n", CSV.rstrip("\n"), CSV.replace(",", ", ")],
    ids=["plain", "byte order mark", "CRLF", "blank lines at the end", "no newline at the end", "spaces"],
)
def test_a_csv_file_is_read_however_it_was_saved(tmp_path: Path, text: str) -> None:
    table = load_table(csv(tmp_path, text), label="kind", group="night")
    np.testing.assert_array_equal(table.x, X)
    assert table.feature_names == ("width", "height")
    assert table.classes == ("open", "shut")
    assert table.y.tolist() == [0, 1, 0]
    assert table.groups is not None
    assert table.groups.tolist() == [0, 0, 1]
    assert table.name == "mine"
    assert table.source.endswith("mine.csv")
    assert len(table.checksum) == len("sha256:") + 64


def test_features_are_taken_in_the_order_asked_for(tmp_path: Path) -> None:
    path = csv(tmp_path, CSV)
    table = load_table(path, features=["height", "width"], label="kind")
    np.testing.assert_array_equal(table.x, X[:, ::-1])
    x, names = load_features(path, features=["height"])
    np.testing.assert_array_equal(x, X[:, 1:])
    assert names == ("height",)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "9"], ("9", "10")),
        (["-1", "1", "1"], ("-1", "1")),
        (["007", "7", "7"], ("007", "7")),
        (["b", "10", "9"], ("10", "9", "b")),
    ],
)
def test_integer_labels_are_sorted_as_numbers_and_others_as_text(
    tmp_path: Path, labels: list[str], classes: tuple[str, ...]
) -> None:
    text = "x,y\n" + "".join(f"0,{label}\n" for label in labels)
    assert load_table(csv(tmp_path, text), label="y").classes == classes


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (CSV, {}, "label must name a column.*got None. There is 'width', 'height', 'kind', 'night'"),
        (CSV, {"label": "kinds"}, "got 'kinds'. Did you mean 'kind'"),
        (CSV, {"label": "kind", "features": ["depht"]}, "features must name columns.*'depht'"),
        (CSV, {"label": "kind", "features": ["width", "width"]}, "'width' more than once"),
        (CSV, {"label": "kind", "features": ["width", "kind"]}, "must not hold the label"),
        (CSV, {"label": "kind", "features": "width"}, "must be a list"),
        (CSV, {"label": "kind", "features": []}, "at least one name"),
        (CSV, {"label": "night"}, "line 2: column 'kind' must hold a finite number.*got 'open'"),
        (CSV.replace(",", ";"), {"label": "kind"}, "separated by ';'"),
        (CSV.replace("4e-1", ""), {"label": "kind"}, "line 3: column 'height'.*an empty cell"),
        (CSV.replace("4e-1", "nan"), {"label": "kind"}, "line 3: column 'height'.*got 'nan'"),
        (CSV.replace("4e-1", "-inf"), {"label": "kind"}, "got '-inf'"),
        (CSV.replace("4e-1", "1e39"), {"label": "kind"}, "float32, got '1e39'"),
        (CSV.replace("4e-1", "1_0"), {"label": "kind"}, "got '1_0'"),
        (CSV.replace("4e-1", "0,4"), {"label": "kind"}, "line 3 must have 4 cells.*got 5"),
        (CSV.replace("shut", ""), {"label": "kind"}, "line 3: column 'kind' must hold a label"),
        (CSV.replace("shut", "open"), {"label": "kind"}, "at least 2 different values, got only 'open'"),
        (CSV.replace("height", "width"), {"label": "kind"}, "'width' more than once"),
        ("width,kind\n", {"label": "kind"}, "got only names"),
        ("kind\na\nb\n", {"label": "kind"}, "must have a column of features"),
        ("\n\n", {"label": "kind"}, "must name its columns"),
        ('a,b\n1,"x', {"label": "b"}, "quotation marks"),
        (CSV.encode("utf-16"), {"label": "kind"}, "text in UTF-8"),
        ("größe,kind\n1,a\n".encode("latin-1"), {"label": "kind"}, "byte 0xf6"),
    ],
)
def test_a_csv_file_that_is_not_what_was_asked_for_is_refused(
    tmp_path: Path, text: str | bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_table(csv(tmp_path, text), **options)


@pytest.mark.parametrize("write", [npz, hdf5])
def test_arrays_are_read(tmp_path: Path, write: Any) -> None:
    images = np.arange(24, dtype=np.uint16).reshape(4, 2, 3)
    path = write(tmp_path, x=images, y=np.array([3, 20, 3, 20]), group=np.array([5, 5, 9, 9], dtype=">i2"))
    table = load_table(path, group="group", name="images")
    np.testing.assert_array_equal(table.x, images.reshape(4, 6))
    assert table.shape == (2, 3)
    assert table.classes == ("3", "20")
    assert table.groups is not None
    assert table.groups.tolist() == [0, 0, 1, 1]
    assert table.name == "images"


@pytest.mark.parametrize("write", [npz, hdf5])
def test_arrays_are_joined_and_labels_may_be_text(tmp_path: Path, write: Any) -> None:
    labels = np.array([b"shut", b"open", b"shut"])
    path = write(tmp_path, a=np.array([1.0, 2, 3]), b=np.eye(3, 2), state=labels)
    table = load_table(path, features=["a", "b"], label="state")
    np.testing.assert_array_equal(table.x, [[1, 1, 0], [2, 0, 1], [3, 0, 0]])
    assert table.feature_names == ("a", "b[0]", "b[1]")
    assert table.classes == ("open", "shut")


def test_hdf5_paths_and_text_are_read(tmp_path: Path) -> None:
    path = hdf5(tmp_path, run__x=np.eye(2), run__y=["b", "ä"])
    table = load_table(path, features=["run/x"], label="run/y")
    assert table.classes == ("b", "ä")
    x, names = load_features(path, key="run/x")
    np.testing.assert_array_equal(x, np.eye(2))
    assert names == ("run/x[0]", "run/x[1]")


good = {"x": np.eye(2), "y": np.array([0, 1])}


@pytest.mark.parametrize("write", [npz, hdf5])
@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"xs": np.eye(2), "y": np.array([0, 1])}, {}, "features must name an array.*got 'x'. (Did|There)"),
        (good, {"label": "labels"}, "label must name an array.*got 'labels'"),
        (good, {"group": "night"}, "group must name an array.*'night'"),
        ({**good, "x": np.ones(2)}, {}, r"\(rows, columns\).*got \(2,\)"),
        ({**good, "x": np.ones((2, 0))}, {}, r"none of them 0, got \(2, 0\)"),
        ({**good, "x": np.float64(3)}, {}, r"got \(\)"),
        ({**good, "x": np.eye(2) * 1j}, {}, "real numbers, got complex128"),
        ({**good, "x": np.array([[1, 2], [np.nan, 4]])}, {}, "got nan in row 1, column 0"),
        ({**good, "x": np.array([[1, 1e39], [3, 4]])}, {}, r"got 1e\+39 in row 0, column 1"),
        ({**good, "y": np.array([0, 1, 1])}, {}, r"shape \(2,\).*got \(3,\)"),
        ({**good, "y": np.eye(2)}, {}, r"argmax"),
        ({**good, "y": np.array([0.0, 1.0])}, {}, "integers or text, got float64"),
        ({**good, "z": np.ones(3)}, {"features": ["x", "z"]}, "as many rows as 'x', 2, got 3"),
    ],
)
def test_arrays_that_are_not_what_was_asked_for_are_refused(
    tmp_path: Path, write: Any, arrays: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_table(write(tmp_path, **arrays), **options)


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.eye(2), y=np.array([{"a": 1}, None], dtype=object))
    with pytest.raises(DataError, match="plain arrays"):
        load_table(path)


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    for name in ("a.npz", "a.h5"):
        (tmp_path / name).write_bytes(b"width,kind\n1,a\n")
    np.save(tmp_path / "b.npy", np.eye(2))
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    with pytest.raises(DataError, match="must be an NPZ file"):
        load_table(tmp_path / "a.npz")
    with pytest.raises(DataError, match="must be an NPZ file"):
        load_table(tmp_path / "b.npz")
    with pytest.raises(DataError, match="sound HDF5 file"):
        load_table(tmp_path / "a.h5")


def test_an_hdf5_group_in_place_of_an_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"features must name an array of .*, got 'x'"):
        load_table(hdf5(tmp_path, x__data=np.eye(2), y=np.array([0, 1])))


def test_a_path_that_is_no_table_is_refused(tmp_path: Path) -> None:
    csv(tmp_path, CSV)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "mine.xlsx").write_bytes(b"PK")
    for path, message in {
        tmp_path: "got the folder",
        tmp_path / "mnie.csv": "Did you mean 'mine.csv'",
        tmp_path / "nowhere" / "mine.csv": "no folder",
        tmp_path / ("a" * 300 + ".csv"): "can be read|that exists",
        tmp_path / "empty.csv": "empty file",
        tmp_path / "mine.xlsx": "must end in .csv",
    }.items():
        with pytest.raises(DataError, match=message):
            load_table(path, label="kind")


def test_a_key_is_refused_where_it_has_no_meaning(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="key must be left out"):
        load_features(csv(tmp_path, CSV), key="x")
    with pytest.raises(DataError, match="key must be left out"):
        load_features(npz(tmp_path, **good), key="x", features=["x"])


def bytes_of(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "npz":
        np.savez_compressed(buffer, **good)  # type: ignore[arg-type]
    elif kind == "h5":
        with h5py.File(buffer, "w") as file:
            file["x"], file["y"] = good["x"], good["y"]
    else:
        buffer.write(b"x,z,y\n1,2,a\n3,4,b\n")
    return buffer.getvalue()


WHOLE = {kind: bytes_of(kind) for kind in ("csv", "npz", "h5")}


@settings(deadline=None)  # a busy machine is no failure
@given(kind=st.sampled_from(sorted(WHOLE)), start=st.floats(0, 1), replacement=st.binary(max_size=4), cut=st.booleans())
def test_corrupt_bytes_never_raise_anything_but_a_data_error(
    kind: str, start: float, replacement: bytes, cut: bool
) -> None:
    whole = WHOLE[kind]
    at = int(start * len(whole))
    corrupt = whole[:at] + replacement + (b"" if cut else whole[at + len(replacement) :])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"mine.{kind}"
        path.write_bytes(corrupt)
        try:
            load_table(path, label="y")
        except DataError as error:
            assert "mine" in str(error)
