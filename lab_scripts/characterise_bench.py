"""Ask a bench what it does before spending nights on it: noise, mixing, rank, sign, memory, drift.

Without an argument it asks a simulated medium behind noisy 8-bit electronics; give `bench.py:name` for your own:

python lab_scripts/characterise_bench.py [bench.py:cavity] [--passes 2000]
"""

import argparse
from pathlib import Path

from physnet import registry
from physnet.characterisation import characterise
from physnet.contracts import PhysicalSystem
from physnet.simulators.impairments import Impaired
from physnet.simulators.scattering import ScatteringMedium


def bench(reference: str | None) -> PhysicalSystem:
    """Return the user's system, or the simulated one."""
    if reference is None:
        medium = ScatteringMedium(drives=40, responses=60, seed=1)
        return Impaired(medium, noise=0.02, dac_bits=8, adc_bits=8, full_scale="auto")
    found = registry.find("systems", reference, base=Path.cwd())
    system: PhysicalSystem = found if registry.is_ready(found) else found()
    return system


def main() -> None:
    """Measure and print; nothing is trained."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("system", nargs="?", help="FILE.py:NAME")
    parser.add_argument("--passes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(characterise(bench(arguments.system), passes=arguments.passes, seed=arguments.seed).summary())


if __name__ == "__main__":
    main()
