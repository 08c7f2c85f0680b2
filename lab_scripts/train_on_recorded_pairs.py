"""Train on drive-response pairs that you have already: no instrument is needed, and every response is a recorded one.

The file is an NPZ or HDF5 file with the arrays `drive` (m, drives), `response` (m, responses) and `label` (m), or a CSV
file with columns `drive_...`, `response_...` and `label`; other names are given below. Sizes and classes are those of
the file. Without a file the script first records one, of a simulated medium that is shown the digits:

python lab_scripts/train_on_recorded_pairs.py [FILE] [--label species] [--width 50]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

import physnet
from physnet.baselines import raw_logistic_regression
from physnet.data import Dataset, load, load_table, split
from physnet.data.csv_files import csv_header
from physnet.encoders import Absolute, Affine
from physnet.recorded import RecordedSystem
from physnet.rules.mono_forward import MonoForward
from physnet.simulators.scattering import ScatteringMedium


def record(path: Path) -> None:
    """Record what a simulated medium answers to every image of the digits, once. Do this with your bench instead."""
    digits, medium = load("digits"), ScatteringMedium(drives=64, responses=200, seed=1)
    drive = Absolute()(torch.from_numpy(digits.x), medium.spec.drive).drive
    reading = physnet.Port(medium).measure(drive, np.arange(len(drive)))
    np.savez(path, drive=drive.numpy(), response=np.asarray(reading.response), label=digits.y)


def samples_of(path: Path, *, drive: str, label: str) -> Dataset:
    """Return the drives as samples, each with its label: what was played is what there is to tell apart."""
    names = [drive]
    if path.suffix.lower() == ".csv":
        names = [column for column in csv_header(path) if column.startswith(drive)]  # as the system reads it
    return load_table(path, features=names, label=label)


def main() -> None:
    """Train a layer on recorded responses."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="recorded pairs with labels, one row per pass")
    parser.add_argument("--drive", default="drive", help="array of the drives, or prefix of their columns")
    parser.add_argument("--response", default="response", help="array of the responses, or prefix of their columns")
    parser.add_argument("--label", default="label", help="array or column of the labels")
    parser.add_argument("--width", type=int, default=200, help="outputs of the layer")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.file
        if path is None:
            path = Path(folder) / "pairs.npz"
            record(path)
        bench = RecordedSystem(path=path, drive=arguments.drive, response=arguments.response)
        dataset = samples_of(path, drive=arguments.drive, label=arguments.label)
    spec, data = bench.spec, split(dataset, seed=arguments.seed)
    print(
        f"{spec.identity['pairs']} pairs of {spec.drive.channels} drives and {spec.response.channels} responses, "
        f"{len(dataset.classes)} classes; a drive that is not among them is refused"
    )
    # A recording can serve the lowest layer of a rule that shows it the samples as they are: what a higher layer would
    # be driven with was not known when it was made.
    layer = physnet.PhysicalLayer(
        port=physnet.Port(bench),
        inputs=dataset.features,
        width=arguments.width,
        encoder=Affine(low=float(spec.drive.low_array.min()), high=float(spec.drive.high_array.max())),
        seed=arguments.seed,
        nonlinearity="relu",
        name="layer0",
    )
    with physnet.Network([layer], features=dataset.features) as network:
        options = physnet.TrainingOptions(epochs=arguments.epochs, batch_size=64)
        trainer = physnet.Trainer(
            network, MonoForward(), data, classes=len(dataset.classes), options=options, seed=arguments.seed
        )
        result = trainer.run()
    print(f"test accuracy {result.test_accuracy:.2%}; {result.physical_passes} rows were looked up, none was measured")
    print(f"without the responses {raw_logistic_regression(data):.2%} (logistic regression on the drives, same split)")


if __name__ == "__main__":
    main()
