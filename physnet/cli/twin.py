"""`physnet twin`."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from ..errors import InputError, SessionError
from ..printable import printable
from ..raw import RawSystem, open_raw
from ..session import open_run
from ..twins import KINDS, Twin, file_name, fit_twin, load_pairs, save_twin
from .runs import newest_run


def twin(arguments: argparse.Namespace) -> int:
    """Fit digital stand-ins to the raw data of a run, and say how good they are."""
    if arguments.output is not None and arguments.kind == "all":
        raise InputError("-o names one file, and --kind all makes one of each kind. Choose a kind, or leave -o out.")
    if arguments.seed < 0:
        raise InputError(f"--seed must be >= 0, got {arguments.seed}.")
    folder = newest_run(Path(arguments.run))
    data = open_raw(folder)
    for problem in data.unreadable:
        print(f"physnet: left out: {printable(problem)}", file=sys.stderr)
    raw = data.system(arguments.system)
    pairs = load_pairs(raw, seed=arguments.seed)
    source = _source(folder, raw)
    print(
        f"twin of {printable(raw.name)} ({raw.kind.upper()}) in {folder}\n"
        f"{pairs.rows} rows, {pairs.drives} different drives; judged on {len(pairs.held_out)} rows of drives held out"
    )
    if pairs.left_out:
        print(f"{pairs.left_out} more rows were left out: they would not fit into memory")
    found: list[dict[str, Any]] = []
    paths: dict[str, Path] = {}
    print(f"\n{'kind':<10}{'held-out error':>16}{'seconds':>10}")
    for kind in KINDS if arguments.kind == "all" else (arguments.kind,):
        one = fit_twin(raw, pairs, kind, seed=arguments.seed, detector=arguments.detector, source=source)
        path = Path(arguments.output) if arguments.output else folder / file_name(raw.name, kind)
        digest = save_twin(one, path)
        paths[kind] = path
        print(f"{kind:<10}{one.report.error:>16.3g}{one.report.seconds:>10.1f}   {_about(one)}", flush=True)
        report = one.report.as_dict()
        found.append({"kind": kind, "head": one.model.head, "file": str(path), "sha256": digest, **report})
    floor = one.report.noise_floor
    if math.isnan(floor):
        print("the error of a perfect twin is not known: no drive was repeated")
    else:
        print(f"a perfect twin would reach {floor:.3g}: so much differs when a drive is repeated")
    print("error: root mean square, 0 is exact, 1 is no better than the mean response\n")
    best = min(found, key=lambda entry: float(entry["error"]))
    print(_usage(arguments.system or raw.name, paths[best["kind"]]))
    if arguments.json:
        print(json.dumps({"run": str(folder), "system": raw.name, "recorded_kind": raw.kind, "twins": found}))
    return 0


def _source(folder: Path, raw: RawSystem) -> dict[str, Any]:
    """Say where the rows come from; a run whose session can't be read has no title."""
    try:
        title = open_run(folder).title
    except SessionError:
        title = ""
    return {"run": folder.absolute().name, "title": title, "raw_sha256": raw.index.digest}


def _about(one: Twin) -> str:
    detectors = {"modulus": "|A x + b|", "intensity": "|A x + b|^2", "complex": "A x + b"}
    return detectors.get(one.model.head, "") if one.model.kind == "coherent" else ""


def _usage(name: str, path: Path) -> str:
    """Return the lines of an experiment that use a twin."""
    key = name if re.fullmatch(r"[\w-]+", name, flags=re.ASCII) else json.dumps(name)
    return (
        "use it in an experiment (kind twin: nothing that is trained on it is measured):\n\n"
        f'[systems.{key}]\ntype = "twin"\npath = {json.dumps(str(path.absolute()), ensure_ascii=False)}\n'
    )
