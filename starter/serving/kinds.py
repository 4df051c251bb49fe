"""Kinds from elsewhere: Temporal plugins, found by name, checked before a worker starts with them.

A set of kinds is a `temporalio.plugin.SimplePlugin`, or several in a list: workflows, activities, interceptors, and
whatever else its framework needs. A worker takes the sets of the entry points `sessions.kinds` and those that
`SESSIONS_KINDS` names as `module:attribute`.
"""

import importlib
import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import entry_points

from temporalio import workflow
from temporalio.converter import DataConverter
from temporalio.plugin import SimplePlugin

from starter.named import look_here, place_in

GROUP = "sessions.kinds"
"""The entry point group in which installed packages offer kinds."""

QUIET = {"OPENAI_AGENTS_DISABLE_TRACING": "true"}
"""What keeps frameworks from sending elsewhere, unasked, what users wrote; a variable that is set already stays.

OpenAI Agents sends traces of every run to OpenAI as soon as it finds a key, with what was asked and answered.
"""

_ALONE = (
    "plugin {!r} has a data converter of its own; it needs a worker of its own: "
    "sessions worker module:attribute --task-queue QUEUE"
)


class KindsError(ValueError):
    """Kinds that a worker cannot host; the message says which and why, in one line."""


def installed_kinds() -> list[SimplePlugin]:
    """The plugins of all installed packages, by the names of their entry points. Raises KindsError."""
    offered = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return [plugin for entry in offered for plugin in kinds_named(entry.value, f"entry point {entry.name!r}")]


def kinds_named(name: str, said_by: str) -> list[SimplePlugin]:
    """The plugins at `module:attribute`; modules of the current folder count too. Raises KindsError."""
    told = f"{said_by}: {name!r}"
    place = place_in(name)
    if place is None:
        raise KindsError(f"{told} must be module:attribute, like shop:KINDS")
    module_name, attribute = place
    look_here()
    os.environ.update({name: value for name, value in QUIET.items() if not os.environ.get(name)})
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise KindsError(f"{told}: there is no module {error.name!r}") from None
        raise KindsError(f"{told} cannot be imported: {_where(error)}") from error
    except (Exception, SystemExit) as error:  # a file of somebody else's may do anything
        raise KindsError(f"{told} cannot be imported: {_where(error)}") from error
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise KindsError(f"{told}: {module_name} has no {part!r}")
        found = getattr(found, part)
    plugins = []
    for plugin in found if isinstance(found, list | tuple) else [found]:
        if not isinstance(plugin, SimplePlugin):
            what = type(plugin).__name__
            raise KindsError(f"{told} is no temporalio.plugin.SimplePlugin, nor a list of them, but {what}")
        plugins.append(plugin)
    return plugins


def check_kinds(plugins: Iterable[SimplePlugin], ours: Sequence[type]) -> None:
    """Raise KindsError for a kind that two sets have, that is called like one of `ours`, or that takes every name."""
    seen = {name: "this project" for name in map(_kind, ours) if name}
    for plugin in plugins:
        for kind in _kinds(plugin):
            name, told = _kind(kind), f"plugin {plugin.name()!r}"
            if name is None:
                raise KindsError(f"{told}: {kind.__qualname__} is a dynamic workflow, which would take every kind")
            if name in seen:
                raise KindsError(f"{told} has a kind {name!r}, which {seen[name]} has already")
            seen[name] = told


def check_converters(plugins: Iterable[SimplePlugin], ours: DataConverter) -> None:
    """Raise KindsError for a set that needs another data converter than the one that sessions speak by."""
    for plugin in plugins:
        wanted = plugin.data_converter
        try:
            if callable(wanted):
                wanted = wanted(ours)
        except Exception as error:  # its way to say that ours will not do
            raise KindsError(_ALONE.format(plugin.name())) from error
        if wanted is not None and wanted is not ours:
            raise KindsError(_ALONE.format(plugin.name()))


def _kinds(plugin: SimplePlugin) -> Iterator[type]:
    yield from (plugin.workflows([]) if callable(plugin.workflows) else plugin.workflows) or ()


def _kind(kind: type) -> str | None:
    """The name of a workflow type; null for one that takes every name."""
    return workflow._Definition.must_from_class(kind).name  # noqa: SLF001 (the SDK has no other way to ask)


def _where(error: BaseException) -> str:
    """What went wrong and in which line, for a person who is writing that file."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}, line {error.lineno})"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})"
