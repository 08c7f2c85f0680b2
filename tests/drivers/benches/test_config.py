"""Bench files: what is wrong is told with its line, before anything is opened."""

from __future__ import annotations

import math
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from physnet.drivers.benches.config import PatternBenchFile, ToneBenchFile, bench_from, digest, load_bench, plain
from physnet.errors import ExperimentError

TONES = """\
name = "cavity"
kind = "tones"

[source]
type = "keysight_33500b"
resource = "TCPIP::192.0.2.7::5025::SOCKET"
channels = [1, 2]
load = [50.0, "high"]
backend = "@py"

[detector]
type = "keysight_infiniivision"
resource = "TCPIP::192.0.2.8::5025::SOCKET"
full_scale = [0.5]
sample_rate = 64e3

[codec]
sample_rate = 64e3
tones = [1000.0]
amplitude = 0.1
drives = 1

[limits]
peak = [0.2, 0.2]

[simulation.resources]
source = "TCPIP::127.0.0.1::15025::SOCKET"
"""
PATTERNS = """\
name = "room"
kind = "patterns"

[board]
port = "/dev/ttyACM0"
elements = 64

[analyser]
type = "rohde_schwarz_znb"
resource = "TCPIP::192.0.2.9::5025::SOCKET"
frequencies = [2.4e9, 2.5e9]
"""


def test_a_bench_of_tones_is_read() -> None:
    file = bench_from(TONES)
    assert isinstance(file, ToneBenchFile)
    assert file.source.ohms == (50.0, math.inf)
    assert file.source.options == {"backend": "@py"}
    assert file.codec.tones == (1000.0,)


def test_a_bench_of_patterns_is_read() -> None:
    file = bench_from(PATTERNS)
    assert isinstance(file, PatternBenchFile)
    assert file.board.type == "metasurface_board"
    assert file.board.options == {"elements": 64}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('[50.0, "high"]', "[50.0]", r":4: .*load must have one value per channel, got 1"),
        ('[50.0, "high"]', '[-1.0, "high"]', r":8: source.load\[0\] must be > 0 or 'high', got -1.0"),
        ("full_scale = [0.5]", "full_scale = []", r":14: detector.full_scale must be a list of at least 1 entry"),
        ("sample_rate = 64e3", "sample_rate = 0", r":15: detector.sample_rate must be > 0"),
        ("peak = [0.2, 0.2]", "peek = [0.2]", r":24: limits.peek is not a known key. Did you mean 'peak'\?"),
        ("peak = [0.2, 0.2]", "peak = [nan]", "is not TOML that a bench can be made of"),
        ('kind = "tones"', 'kind = "tone"', "kind must be 'tones' or 'patterns', got 'tone'"),
        ("[limits]", "[limits", "is not TOML"),
        ("amplitude = 0.1", "amplitude = 0", r":17: codec: amplitude must be > 0"),
        ("amplitude = 0.1", "amplitud = 0.1", r":20: codec.amplitud is not a known key. Did you mean 'amplitude'"),
        ('resource = "TCPIP::192.0.2.8::5025::SOCKET"\n', "", "resource must be given, unless type is 'source'"),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, said: str) -> None:
    assert old in TONES
    with pytest.raises(ExperimentError, match=said):
        bench_from(TONES.replace(old, new))


def test_frequencies_must_rise() -> None:
    with pytest.raises(ExperimentError, match="frequencies must rise"):
        bench_from(PATTERNS.replace("[2.4e9, 2.5e9]", "[2.5e9, 2.4e9]"))


@pytest.mark.parametrize("make", ["missing", "folder", "binary", "large"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, make: str) -> None:
    path = tmp_path / "bench.toml"
    if make == "folder":
        path.mkdir()
    elif make == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    elif make == "large":
        path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ExperimentError, match=r"bench\.toml"):
        load_bench(path)


def test_the_digest_tells_settings_apart_but_not_what_is_simulated() -> None:
    file = bench_from(TONES)
    assert digest(file) == digest(bench_from(TONES.replace("15025", "15026")))
    assert digest(file) != digest(bench_from(TONES.replace("64e3", "65e3")))
    assert "simulation" not in plain(file)


@hypothesis.given(st.text(max_size=300) | st.binary(max_size=300).map(lambda b: b.decode("latin-1")))
def test_any_text_is_a_bench_or_an_error_of_ours(text: str) -> None:
    for whole in (text, TONES + text, TONES.replace("64e3", text)):
        try:
            bench_from(whole)
        except ExperimentError:
            continue
