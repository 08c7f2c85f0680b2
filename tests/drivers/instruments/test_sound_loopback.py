"""A burst through a real sound system and back. Deselected by default: `pytest -m hardware` runs it.

It needs outputs that are wired to the inputs: a cable, or a virtual loopback. On Linux without any sound hardware, as
root or not::

    apt-get install libportaudio2 pulseaudio libasound2-plugins
    pip install 'physnet[sound]'
    export XDG_RUNTIME_DIR=$HOME/loopback; mkdir -p $XDG_RUNTIME_DIR
    printf '%s\n' 'pcm.!default { type pulse }' 'ctl.!default { type pulse }' > ~/.asoundrc
    pulseaudio -n --exit-idle-time=-1 --daemonize=yes -L 'module-native-protocol-unix' \
        -L 'module-null-sink sink_name=loopback format=float32le rate=48000 channels=2'
    pactl set-default-sink loopback; pactl set-default-source loopback.monitor
    pytest -m hardware tests/drivers/instruments/test_sound_loopback.py -s

`PHYSNET_SOUND_LOOPBACK` names another card, `PHYSNET_SOUND_LOOPBACK_ERROR` the part of full scale that its amplitude
may be off (default: 1e-6, which only a loopback without converters keeps).
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from physnet.drivers.instruments.sound_card import SoundCard
from physnet.drivers.roles import DetectorSetup, SourceSetup
from physnet.drivers.transport import Deadline

RATE, TONE, AMPLITUDE = 48000.0, 1000.0, 0.5
POINTS, RAMP, LEAD, TAIL = 24000, 480, 480, 48000  # samples


@pytest.mark.hardware
def test_twenty_bursts_come_back_whole_and_with_one_delay() -> None:
    allowed = float(os.environ.get("PHYSNET_SOUND_LOOPBACK_ERROR", "1e-6"))
    t = np.arange(POINTS)
    ramp = np.clip(np.minimum(t, t[::-1]) / RAMP, 0, 1)
    burst = AMPLITUDE * ramp * np.sin(2 * np.pi * TONE / RATE * t)
    resource = os.environ.get("PHYSNET_SOUND_LOOPBACK", "SOUND::pulse")
    card = SoundCard(resource=resource, latency=0.3, simulated=True)  # with 0.1 s a busy computer has xruns
    card.open()
    try:
        card.setup(SourceSetup(channels=(1,), sample_rate=RATE, peak=(0.6,), load=(1e4,)))
        points = LEAD + POINTS + TAIL
        listen = DetectorSetup(
            channels=(1,),
            sample_rate=RATE,
            points=points,
            segments=1,
            full_scale=(1.0,),
            before=LEAD / RATE,
            coupling="AC",
        )
        card.setup(listen)
        delays, errors = [], []
        for _ in range(20):
            card.load(burst[None, None])
            card.arm()
            card.fire()
            card.finish(Deadline.after(10))
            volts = card.fetch().volts()[0, 0]
            size = points + POINTS
            crossed = np.fft.irfft(np.fft.rfft(volts, size) * np.conj(np.fft.rfft(burst, size)), size)
            delay = int(np.argmax(crossed[:points]))
            plateau = volts[delay + 2 * RAMP : delay + POINTS - 2 * RAMP]  # 22080 samples: 460 whole periods
            phases = np.exp(-2j * np.pi * TONE / RATE * np.arange(len(plateau)))
            delays.append(delay - LEAD)
            errors.append(2 * abs(np.mean(plateau * phases)) - AMPLITUDE)
    finally:
        card.close()
    print(f"\n{card.identity}: delays {sorted(set(delays))} samples, amplitude off by {max(map(abs, errors)):.2g}")
    assert max(map(abs, errors)) <= allowed
    assert len(set(delays)) == 1


@pytest.mark.hardware
def test_a_reference_finds_the_burst_to_the_sample_in_every_stream() -> None:
    t = np.arange(POINTS)
    burst = AMPLITUDE * np.random.default_rng(1).standard_normal(POINTS) / 5 * np.clip(np.minimum(t, t[::-1]), 0, 1)
    resource = os.environ.get("PHYSNET_SOUND_LOOPBACK", "SOUND::pulse")
    card = SoundCard(resource=resource, latency=0.3, reference=1, simulated=True)
    card.open()
    try:
        for _ in range(4):
            card.setup(SourceSetup(channels=(1,), sample_rate=RATE, peak=(AMPLITUDE,), load=(1e4,)))
            card.setup(
                DetectorSetup(
                    channels=(1,), sample_rate=RATE, points=POINTS, segments=1, full_scale=(1.0,), coupling="AC"
                )
            )
            card.load(np.clip(burst, -AMPLITUDE, AMPLITUDE)[None, None])
            card.arm()
            card.fire()
            card.finish(Deadline.after(10))
            heard = card.fetch().volts()[0, 0]
            # White noise is like itself at no other sample: a record that is one off has a correlation near 0.
            assert np.corrcoef(heard, burst)[0, 1] > 0.9
            card.recover()
    finally:
        card.close()
