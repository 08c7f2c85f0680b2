"""Train on drive-response pairs that you have already: no instrument is needed, and every response is a recorded one.

The file is an NPZ or HDF5 file with the arrays `drive` (m, drives) and `response` (m, responses), or a CSV file with
columns `drive_...` and `response_...`. Without a file the script first records one, of a simulated medium:

python lab_scripts/train_on_recorded_pairs.py [FILE]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

import physnet
from physnet.data import load, split
from physnet.encoders import Absolute
from physnet.recorded import RecordedSystem
from physnet.rules.mono_forward import MonoForward
from physnet.simulators.scattering import ScatteringMedium


def record(path: Path) -> None:
    """Record what a simulated medium answers to every image of the digits, once. Do this with your bench instead."""
    medium = ScatteringMedium(drives=64, responses=200, seed=1)
    images = torch.from_numpy(load("digits").x)
    drive = Absolute()(images, medium.spec.drive).drive
    reading = physnet.Port(medium).measure(drive, np.arange(len(drive)))
    np.savez(path, drive=drive.numpy(), response=np.asarray(reading.response))


def main() -> None:
    """Train a layer on recorded responses."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="pairs recorded for the digits, one row per image")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.file
        if path is None:
            path = Path(folder) / "pairs.npz"
            record(path)
        bench = RecordedSystem(path=path)
    print(f"{bench.spec.identity['pairs']} pairs; a drive that is not among them is refused")
    # A recording can serve the lowest layer of a rule that shows it the samples as they are: what a higher layer would
    # be driven with was not known when it was made.
    layer = physnet.PhysicalLayer(
        port=physnet.Port(bench), inputs=64, width=200, encoder=Absolute(), seed=0, nonlinearity="relu", name="layer0"
    )
    with physnet.Network([layer], features=64) as network:
        options = physnet.TrainingOptions(epochs=15, batch_size=64)
        trainer = physnet.Trainer(network, MonoForward(), split(load("digits"), seed=0), classes=10, options=options)
        result = trainer.run()
    print(f"test accuracy {result.test_accuracy:.2%}; {result.physical_passes} rows were looked up, none was measured")


if __name__ == "__main__":
    main()
