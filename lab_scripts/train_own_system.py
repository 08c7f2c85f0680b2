"""Train on a system of your own, in a few lines. Replace `cavity` by a function that talks to your bench.

python lab_scripts/train_own_system.py
"""

import numpy as np
from numpy.typing import NDArray

import physnet
from physnet.data import load, split
from physnet.encoders import Split
from physnet.rules.mono_forward import MonoForward

MATRIX = np.random.default_rng(0).standard_normal((128, 100)) / np.sqrt(128)


@physnet.system(drives=128, responses=100, drive_range=(0.0, 1.0), drive_unit="V", response_unit="V")
def cavity(drive: NDArray[np.float64]) -> NDArray[np.float64]:
    """Answer a batch of drives, shape (n, 128), with responses, shape (n, 100)."""
    response: NDArray[np.float64] = np.abs(drive @ MATRIX)
    return response


def main() -> None:
    """Train one layer on digits and print how it went."""
    data = split(load("digits"), seed=0)
    layer = physnet.PhysicalLayer(
        port=physnet.Port(cavity), inputs=64, width=100, encoder=Split(), seed=0, nonlinearity="relu", name="layer0"
    )
    with physnet.Network([layer], features=64) as network:
        trainer = physnet.Trainer(
            network, MonoForward(), data, classes=10, options=physnet.TrainingOptions(epochs=10, batch_size=64)
        )
        result = trainer.run()
    print(f"test accuracy {result.test_accuracy:.2%} after {result.physical_passes} physical passes")


if __name__ == "__main__":
    main()
