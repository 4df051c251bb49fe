"""Long-lived agent sessions on Temporal: what callers and kinds import from `durable_sessions`.

In the wheel this file is `durable_sessions/__init__.py`. Everything is imported once it is asked for: a caller does not
pay for what kinds need, and the sandbox of a kind, which executes this file again for each run, pays for nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from activities import files as files  # noqa: PLC0414 (a name to import, if not by `*`)
    from activities import spans as spans  # noqa: PLC0414 (a name to import, if not by `*`)
    from activities import stream as stream  # noqa: PLC0414 (a name to import, if not by `*`)
    from starter.client import Session, SessionClient
    from workflows.contract import (
        Compact,
        Compaction,
        Config,
        ContextPatch,
        ContextPolicy,
        Notify,
        Question,
        Snapshot,
        TaskEvent,
        TaskInput,
        TaskOutput,
        TaskRecord,
        TaskRequest,
    )
    from workflows.frameworks import llamaindex as llamaindex  # noqa: PLC0414 (a name to import, if not by `*`)
    from workflows.kinds.typed import context_of, patch_of
    from workflows.kinds.waiting import Unanswered, ask_person
    from workflows.wire.errors import ErrorType, SessionError

__all__ = [
    "Compact",
    "Compaction",
    "Config",
    "ContextPatch",
    "ContextPolicy",
    "ErrorType",
    "Notify",
    "Question",
    "Session",
    "SessionClient",
    "SessionError",
    "Snapshot",
    "TaskEvent",
    "TaskInput",
    "TaskOutput",
    "TaskRecord",
    "TaskRequest",
    "Unanswered",
    "ask_person",
    "context_of",
    "patch_of",
]


def __getattr__(name: str) -> object:
    if name == "llamaindex":  # a module, and not for `import *`: its framework may not be there
        import workflows.frameworks.llamaindex as framework  # noqa: PLC0415

        return framework
    if name == "files":
        import activities.files as stored  # noqa: PLC0415

        return stored
    if name == "spans":
        import activities.spans as made  # noqa: PLC0415

        return made
    if name == "stream":
        import activities.stream as told  # noqa: PLC0415

        return told
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in {"Session", "SessionClient"}:
        import starter.client as module  # noqa: PLC0415 (lazily, like all below)
    elif name in {"ask_person", "Unanswered"}:
        import workflows.kinds.waiting as module  # type: ignore[no-redef]  # noqa: PLC0415
    elif name in {"context_of", "patch_of"}:
        import workflows.kinds.typed as module  # type: ignore[no-redef]  # noqa: PLC0415
    elif name in {"ErrorType", "SessionError"}:
        import workflows.wire.errors as module  # type: ignore[no-redef]  # noqa: PLC0415
    else:
        import workflows.contract as module  # type: ignore[no-redef]  # noqa: PLC0415
    found: object = getattr(module, name)
    return found
