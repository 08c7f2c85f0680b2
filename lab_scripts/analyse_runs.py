"""Analyse and compare runs with h5py and pandas alone: nothing of physnet is imported, so it works wherever HDF5 does.

It prints one line a run and writes the same as CSV. Take from it what you need; docs/sessions.md has the whole layout.

python lab_scripts/analyse_runs.py runs/ [another/run ...] [--csv runs.csv] [--plot runs.png]
"""

import argparse
import json
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

NEWEST = 3
"""Newest layout (`physnet_schema`) that this script was written for."""


def text(value: bytes | str) -> str:
    """Return text that HDF5 gives as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def read_table(group: h5py.Group) -> tuple[pd.DataFrame, int]:
    """Read the sound rows of a table, and count those that were torn by a kill or by the disk.

    A table is longer than what was written to it while its run goes on, or when that was killed. Each row has a CRC-32
    over its values in the order of the attribute `columns`, little-endian, without gaps. A row never written has the
    CRC 0 and holds -1, NaN or empty text.
    """
    names = json.loads(group.attrs["columns"])
    columns = {name: group[name][()] for name in names}
    crc = group["crc32"][()]
    length = min(len(crc), *(len(values) for values in columns.values()))
    packed = np.empty(length, dtype=[(name, v.dtype.newbyteorder("<"), v.shape[1:]) for name, v in columns.items()])
    for name, values in columns.items():
        packed[name] = values[:length]
    blank = np.zeros(1, packed.dtype)
    for name in names:
        blank[name] = {"f": np.nan, "i": -1, "S": b""}[packed.dtype[name].base.kind]
    unwritten, data, size = blank.tobytes(), packed.tobytes(), packed.dtype.itemsize
    bytes_of = [data[n * size : (n + 1) * size] for n in range(length)]
    written = [bool(crc[n]) or row != unwritten for n, row in enumerate(bytes_of)]
    sound = np.array([written[n] and zlib.crc32(row) == crc[n] for n, row in enumerate(bytes_of)], dtype=bool)
    rows = packed[sound]
    table: dict[str, object] = {}
    for name in names:
        values = rows[name]
        if values.ndim == 2:  # one value a layer
            table |= {f"{name}/{layer}": values[:, layer] for layer in range(values.shape[1])}
        else:
            table[name] = [text(value) for value in values] if values.dtype.kind == "S" else values
    return pd.DataFrame(table), sum(written) - len(rows)


def current(rows: pd.DataFrame, entry: h5py.Group) -> pd.DataFrame:
    """Leave out what was lost: a run that was killed goes on from a step before, and does the steps after it again.

    The table `attempts` says at which step each attempt began: rows of earlier attempts from there on don't count.
    """
    if "attempts" not in entry or "attempt" not in rows:
        return rows
    for _, began in read_table(entry["attempts"])[0].iterrows():
        # An epoch's row has the number of steps done: the one that ended where the attempt began counts.
        lost = rows["step"] > began["step"] if "validation_accuracy" in rows else rows["step"] >= began["step"]
        rows = rows[~(lost & (rows["attempt"] < began["attempt"]))]
    return rows.drop_duplicates("epoch" if "validation_accuracy" in rows else "step", keep="last")


def describe(path: Path) -> dict[str, object]:
    """Return what a run was and what came of it."""
    with h5py.File(path, "r") as file:
        entry = file["entry"]
        if int(file.attrs["physnet_schema"]) > NEWEST:
            print(f"{path}: a newer layout than this script knows; some of it may be missing", file=sys.stderr)
        steps, torn = read_table(entry["steps"])
        steps = current(steps, entry)
        epochs = current(read_table(entry["epochs"])[0], entry)
        result, confusion = entry["result"], entry["result/confusion"][()]
        tested = bool(confusion.size) and confusion.min() >= 0 and confusion.sum() > 0
        status = text(result["status"][()])
        ended = int(result["physical_passes"][()]) >= 0  # -1 as long as there is no result
        # A simulated result must not pass for a measured one.
        kinds = {text(group.attrs["kind"]) for group in entry["systems"].values()}
        return {
            "run": path.parent.name,
            "status": "killed" if status == "running" else status,
            "kind": " and ".join(sorted(kinds)),
            "seed": text(entry["seed"][()]),
            "steps": len(steps),
            "epochs": len(epochs),
            "test_accuracy": np.trace(confusion) / confusion.sum() if tested else np.nan,
            "test_samples": int(confusion.sum()) if tested else 0,
            "best_validation": epochs["validation_accuracy"].max() if len(epochs) else np.nan,
            "training_passes": int(steps["passes"].sum()),
            "all_passes": int(result["physical_passes"][()]) if ended else pd.NA,
            "minutes_of_steps": steps["seconds"].sum() / 60,
            "share_measuring": steps["system_seconds"].sum() / steps["seconds"].sum() if len(steps) else np.nan,
            "clipped_rows": int(steps["clipped_response"].sum()),
            "torn_rows": torn,
            "weights_sha256": text(entry["weights"].attrs["sha256"])[:12],
        }


def settings(path: Path) -> dict[str, object]:
    """Return the configuration with dotted names: `rule.theta`, `layers.0.width`."""
    with h5py.File(path, "r") as file:
        return dict(flat("", json.loads(text(file["entry/configuration"][()]))))


def flat(name: str, value: object) -> list[tuple[str, object]]:
    """Return nested values as pairs of a dotted name and a value."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = {str(number): part for number, part in enumerate(value)}
    if isinstance(value, dict):
        return [pair for key, part in value.items() for pair in flat(f"{name}.{key}" if name else str(key), part)]
    return [(name, json.dumps(value) if isinstance(value, list) else value)]


def found(path: Path) -> list[Path]:
    """Return the session files of a run's folder, or of the runs in a folder."""
    return [path / "session.h5"] if (path / "session.h5").exists() else sorted(path.glob("*/session.h5"))


def plot(files: list[Path], target: Path) -> None:
    """Draw the validation accuracy over the passes of each run."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(7, 4), layout="constrained")).subplots()
    for path in files:
        with h5py.File(path, "r") as file:
            entry = file["entry"]
            epochs = current(read_table(entry["epochs"])[0], entry).dropna(subset="validation_accuracy")
        axes.plot(epochs["passes"], 100 * epochs["validation_accuracy"], marker="o", label=path.parent.name)
    axes.set(xlabel="physical passes", ylabel="validation accuracy / %")
    axes.legend(fontsize=8)
    figure.savefig(target, dpi=150)


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="runs' folders, or folders of runs")
    parser.add_argument(
        "--csv", type=Path, help="write the table, and what differs in the configurations, to this file"
    )
    parser.add_argument("--plot", type=Path, help="draw validation accuracy over passes into this file")
    arguments = parser.parse_args()
    rows, files = [], []
    for path in [file for folder in arguments.runs for file in found(folder)]:
        try:
            rows.append(describe(path) | settings(path))
            files.append(path)
        except (OSError, KeyError) as error:
            # A run that goes on is locked; one that was cut short can't be opened.
            print(f"{path} is left out: {error}", file=sys.stderr)
    if not rows:
        sys.exit("no run was found that can be read")
    table = pd.DataFrame(rows).set_index("run")
    facts = list(table.columns[: list(table.columns).index("weights_sha256") + 1])
    differing = [name for name in table.columns if name not in facts and table[name].astype(str).nunique() > 1]
    with pd.option_context("display.width", 200, "display.max_columns", None):
        print(table[facts].T if len(table) < 4 else table[facts])
        if differing:
            print("\nWhat differs in what was asked:\n", table[differing].T, sep="")
    if arguments.csv:
        table[facts + differing].to_csv(arguments.csv)
        print(f"\nwritten to {arguments.csv}")
    if arguments.plot:
        plot(files, arguments.plot)
        print(f"drawn in {arguments.plot}")


if __name__ == "__main__":
    main()
