"""Generator and oscilloscope over TCP in front of the acoustic cavity: the answers of the cavity, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import torch

from .served import AMPLITUDE, FULL_SCALE, MICROPHONE, RATE, TONES, cavity, cavity_file, served
from .training import differ, trained

# What may stand between a response of the bench and that of the cavity, for a lock-in over W = 640 samples, in V:
#
# - The oscilloscope has 8 bits over +-0.5 V. One sample is off by at most half a code,
#   and a lock-in, (2 / W) sum u exp(-i w t), by at most twice that: one code, q. (It is rather q / sqrt(6 W).)
Q = 2 * FULL_SCALE / 256
# - Its noise, 2e-3 of the full scale and independent from sample to sample, adds a complex normal number of standard
#   deviation noise * sqrt(4 / W); 10 of them are not seen in 10^6 numbers.
NOISE = 10 * 2e-3 * FULL_SCALE * math.sqrt(4 / 640)
# - The generator draws the outermost samples in by at most a thousandth of its span, and rounds to 16 bits.
GAIN = 2e-3
# - Of a row before, 60 dB of decay in 20 ms and 40 ms of silence leave a millionth.


def test_every_response_is_that_of_the_cavity_within_quantisation_and_noise() -> None:
    drive_ND = np.random.default_rng(0).uniform(0, 1, (16, 32))
    with served(cavity_file()) as (bench, _), bench:
        reading = bench.measure(drive_ND, np.arange(16))
    direct = np.asarray(cavity().measure(torch.from_numpy(drive_ND).float(), np.arange(16)).response)
    # The cavity counts the phase from one step earlier than the bench, whose delay is a sample.
    turn = np.exp(2j * math.pi * np.array(TONES) / RATE)
    wanted = AMPLITUDE * MICROPHONE * direct.reshape(16, 3, len(TONES)) * turn
    found = reading.response.reshape(16, 3, len(TONES))
    assert reading.valid is not None and reading.valid.all()
    bound = Q + NOISE + GAIN * np.abs(wanted).max()
    difference = np.abs(found - wanted)
    assert difference.max() < bound
    # Not by chance: the responses are many times as large as the bound, and the typical error is that of rounding.
    assert np.abs(wanted).max() > 10 * bound
    assert difference.mean() < bound / 4


def test_energies_are_those_of_the_cavity_once_the_dark_rows_are_off() -> None:
    drive_ND = np.random.default_rng(1).uniform(0, 1, (16, 32))
    with served(cavity_file(response="energy")) as (bench, _), bench:
        reading = bench.measure(drive_ND, np.arange(16))
    direct = np.asarray(cavity("energy").measure(torch.from_numpy(drive_ND).float(), np.arange(16)).response)
    wanted = (AMPLITUDE * MICROPHONE) ** 2 * direct
    # An error e of each of W samples changes an energy E = sum u^2 / rate by at most 2 sqrt(E) |e| + |e|^2, |e|^2 =
    # sum e^2 / rate; half a code at each sample, the noise at 4 deviations, and the gain.
    size = (Q / 2 + 4 * 2e-3 * FULL_SCALE) * math.sqrt(640 / RATE)
    bound = 2 * np.sqrt(wanted) * (size + GAIN * np.sqrt(wanted)) + 2 * size**2
    assert (np.abs(reading.response - wanted) < bound).all()


def test_a_network_learns_through_the_bench_what_it_learns_through_the_cavity() -> None:
    with served(cavity_file(guard="0.02")) as (bench, _):
        through_bench, trainer = trained(bench, seed=1)
        assert trainer.network.ports[0].count.retries == 0
        assert not bench.faults
    direct, _ = trained(cavity(), seed=1)
    assert not differ(through_bench, direct)
    # Chance is 10 %.
    assert direct.mean() > 0.6 and through_bench.mean() > 0.6
