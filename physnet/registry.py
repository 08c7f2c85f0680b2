"""Systems, instruments and rules by name: what is installed, and what lies in a file beside an experiment.

Whatever a package lists under the entry points `physnet.systems`, `physnet.instruments` or `physnet.rules` is
found here, ours and third parties' alike. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import re
import sys
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError

from .contracts import PhysicalSystem
from .errors import ExperimentError

Group = Literal["systems", "instruments", "rules", "impairments"]
Factory = Callable[..., Any]

_FILE = re.compile(r"(?P<file>.*\.py)(?::(?P<attribute>[^:/\\]*))?", re.DOTALL)
# Frozen, closed, and no NaN or infinity: neither is a setting that anything on a bench can honour.
_CONFIG = ConfigDict(
    extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True, protected_namespaces=()
)


class Entry(Protocol):
    """What the registry needs of an entry point."""

    @property
    def name(self) -> str:
        """The name that an experiment file uses."""
        ...

    @property
    def value(self) -> str:
        """`module:attribute`."""
        ...

    def load(self) -> Any:
        """Import the module and return the attribute."""
        ...


Entries = Callable[[str], Iterable[Entry]]
"""From a group's full name (`physnet.systems`) to what is registered under it."""


def installed(group: str) -> Iterable[Entry]:
    """Entry points of the installed packages: the default of every `entries` argument."""
    return importlib.metadata.entry_points(group=group)


def names(group: Group, *, entries: Entries = installed) -> tuple[str, ...]:
    """The names registered in a group, in alphabetical order. Imports nothing."""
    return tuple(sorted({entry.name for entry in entries(f"physnet.{group}")}))


def find(group: Group, name: str, *, base: Path | None = None, entries: Entries = installed) -> Any:
    """Return what a name stands for.

    Args:
        group: Where to look.
        name: A registered name, or for a system also `path/to/bench.py:name`.
        base: Folder that a relative path starts from; the current one when None.
        entries: Where registered names come from.

    Returns:
        A factory (a class, or a function that returns the object), or, from a Python file only, a ready
        `PhysicalSystem`; `is_ready` tells the two apart.

    Raises:
        ExperimentError: There is no such name, or what it stands for can't be imported.
    """
    if group == "systems" and is_file(name):
        return load_file(name, base=base)
    matches = {entry.value: entry for entry in entries(f"physnet.{group}") if entry.name == name}
    if not matches:
        raise ExperimentError(_unknown(group, name, names(group, entries=entries)))
    if len(matches) > 1:
        raise ExperimentError(
            f"{group[:-1]} {name!r} must be registered once, got {' and '.join(sorted(matches))}. "
            "Uninstall one package."
        )
    (entry,) = matches.values()
    try:
        found = entry.load()
    except (Exception, SystemExit) as error:  # whatever a third party's module does when imported
        raise ExperimentError(
            f"{group[:-1]} {name!r} is registered by {_package(entry)} as {entry.value}, which can't be "
            f"imported: {_describe(error)}. Repair or reinstall that package."
        ) from error
    if not callable(found):
        raise ExperimentError(
            f"{group[:-1]} {name!r} of {_package(entry)} must be a class or a function, "
            f"got {type(found).__name__} at {entry.value}."
        )
    return found


def is_file(name: str) -> bool:
    """Whether a system's type means a Python file rather than a registered name."""
    return _FILE.fullmatch(name) is not None


def is_ready(found: Any) -> bool:
    """Whether `find` returned a ready system, which takes no options, rather than a factory."""
    return not isinstance(found, type) and isinstance(found, PhysicalSystem)


def load_file(reference: str, *, base: Path | None = None) -> Any:
    """Load `path/to/bench.py:name`.

    A file is run once per process however often it is named, so that two systems of one bench share its
    module; it is run again once it was edited.

    Raises:
        ExperimentError: The file or the attribute is missing, or the file can't be run.
    """
    match = _FILE.fullmatch(reference)
    if match is None or not match["attribute"]:
        raise ExperimentError(f"a system in a file must be given as 'path/to/bench.py:name', got {reference!r}.")
    path = Path(base or ".", match["file"]).absolute()
    if not path.is_file():
        raise ExperimentError(
            f"{reference!r} must name a Python file, and there is none at {path}. "
            "Relative paths start from the experiment file's folder."
        )
    module = _module(path)
    attribute = match["attribute"]
    found = getattr(module, attribute, None)
    if found is None:
        near = difflib.get_close_matches(attribute, [n for n in vars(module) if not n.startswith("_")], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ExperimentError(f"{path} must define {attribute!r}, and it does not.{hint}")
    if not callable(found) and not is_ready(found):
        raise ExperimentError(
            f"{attribute!r} in {path} must be a system, or a class or function that makes one, "
            f"got {type(found).__name__}. See physnet.system."
        )
    return found


def options_model(
    factory: Factory, *, exclude: Collection[str] = (), optional: Collection[str] = ()
) -> type[BaseModel]:
    """Build the pydantic model of a factory's options from its signature.

    Constraints come from the annotations (`Annotated[int, Field(ge=1)]`); a parameter without one takes
    anything. The model is frozen and refuses unknown keys, unless the factory itself takes `**options`.

    Args:
        factory: A class or a function.
        exclude: Parameters that the program fills in and nobody may set.
        optional: Parameters that the program fills in unless they are set.

    Raises:
        ExperimentError: The signature can't be read.
    """
    title = getattr(factory, "__name__", type(factory).__name__)
    fields: dict[str, Any] = {}
    config = _CONFIG
    try:
        hints = _hints(factory)
        for name, parameter in inspect.signature(factory).parameters.items():
            if name in exclude or parameter.kind is parameter.VAR_POSITIONAL:
                continue
            if parameter.kind is parameter.VAR_KEYWORD:
                config = ConfigDict(**{**_CONFIG, "extra": "allow"})
                continue
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise TypeError(f"parameter {name!r} can't be given by name")
            default = parameter.default
            if default is parameter.empty:
                default = None if name in optional else ...
            # pydantic warns about a field that hides one of its methods, so each has a name of its own
            fields[f"option_{name}"] = (hints.get(name, Any), Field(default, alias=name))
        return create_model(title, __config__=config, **fields)
    except (TypeError, ValueError, NameError, AttributeError, PydanticUserError) as error:
        raise ExperimentError(
            f"the options of {title} can't be read from its signature: {_describe(error)}. "
            "Each must be a keyword with an annotation that can be resolved."
        ) from error


def arguments(model: type[BaseModel], options: Mapping[str, Any]) -> dict[str, Any]:
    """Turn plain options into the typed keyword arguments of the factory behind `model`.

    Only what is in `options` is returned: for the rest the factory has its own defaults.

    Args:
        model: From `options_model`.
        options: Plain values, as TOML and JSON have them. A list becomes a tuple where the annotation says
            so; nothing else is converted: neither `"3"` nor `true` is a number.

    Raises:
        pydantic.ValidationError: An option is unknown, missing, or out of its range.
    """
    checked = model.model_validate_json(json.dumps(options), strict=True)
    given = {
        field.alias: getattr(checked, name)
        for name, field in model.model_fields.items()
        if field.alias is not None and name in checked.model_fields_set
    }
    return {**(checked.model_extra or {}), **given}


def as_table(option: Any) -> dict[str, Any]:
    """Return a typed option, a dataclass, as the plain table that `arguments` makes it of; empty for None."""
    fields = {} if option is None else dataclasses.asdict(option)
    return {name: value for name, value in fields.items() if value is not None}


def defaults(model: type[BaseModel], options: Mapping[str, Any], *, skip: Collection[str] = ()) -> dict[str, Any]:
    """The plain defaults that apply beside valid `options`, so that a session records every setting."""
    found: dict[str, Any] = {}
    for field in model.model_fields.values():
        if field.alias is None or field.alias in options or field.alias in skip or field.is_required():
            continue
        try:
            plain = json.loads(json.dumps(field.default, allow_nan=False))
            arguments(model, {**options, **found, field.alias: plain})
        except (TypeError, ValueError, ValidationError):
            continue  # a default that no file could hold, or outside its own annotation
        if plain is not None:
            found[field.alias] = plain
    return found


def summary(factory: Any) -> str:
    """First line of the docstring, for `physnet list`; empty where there is none."""
    text = inspect.getdoc(factory) or ""
    return text.strip().partition("\n")[0]


def _hints(factory: Factory) -> dict[str, Any]:
    if isinstance(factory, type):
        # `__init__` is what the signature shows, unless the class is made by `__new__` alone
        made_by = factory.__init__ if factory.__init__ is not object.__init__ else factory.__new__  # type: ignore[misc]
        return {} if made_by is object.__new__ else typing.get_type_hints(made_by, include_extras=True)
    if inspect.isroutine(factory):
        return typing.get_type_hints(inspect.unwrap(factory), include_extras=True)
    if callable(getattr(factory, "func", None)):  # functools.partial
        return _hints(factory.func)  # type: ignore[attr-defined]
    return typing.get_type_hints(type(factory).__call__, include_extras=True)


def _module(path: Path) -> ModuleType:
    """Run a Python file, under a module name that changes with the file."""
    status = path.stat()
    identity = f"{path.resolve()} {status.st_mtime_ns} {status.st_size}".encode()
    name = f"_physnet_file_{path.stem}_{hashlib.sha256(identity).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and get_type_hints look their module up by name
    try:
        # compiled here: a byte-code cache, keyed by whole seconds, would miss a quick edit
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, (Exception, SystemExit)):
            raise  # Ctrl-C
        raise ExperimentError(f"{path} can't be run: {_describe(error)}.") from error
    return module


def _unknown(group: Group, name: str, valid: Collection[str]) -> str:
    near = difflib.get_close_matches(name, valid, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    known = ", ".join(valid) if valid else "none; is physnet installed?"
    file = " A system of your own is given as 'path/to/bench.py:name'." if group == "systems" and not near else ""
    return f"{name!r} is not a known {group[:-1]}.{hint} Valid names: {known}.{file}"


def _package(entry: Entry) -> str:
    name = getattr(getattr(entry, "dist", None), "name", None)
    return f"package {name}" if name else f"package {entry.value.partition('.')[0].partition(':')[0]}"


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(". ")
