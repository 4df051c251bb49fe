"""The contract, version 1: every wire type under one name, as callers and kinds import them.

The shapes themselves stand in `workflows/wire/`: `requests.py` (sent to a session), `records.py` (answered by it),
`tasks.py` (between a session and its tasks).
"""

from workflows.wire.ids import (
    CONTRACT_VERSION,
    SESSION_TYPE,
    task_workflow_id,
)
from workflows.wire.records import (
    ContextVersions,
    ContextView,
    Counters,
    ErrorInfo,
    LogEntry,
    PendingEntry,
    RejectedEntry,
    Snapshot,
    SubmitResult,
    TaskRecord,
)
from workflows.wire.requests import (
    ISOLATED,
    CancelRequest,
    CloseRequest,
    Config,
    ConfigureRequest,
    ContextPolicy,
    ForkSource,
    PatchRequest,
    RespondRequest,
    RollbackRequest,
    StartRequest,
    TaskRequest,
)
from workflows.wire.tasks import (
    Answer,
    ContextPatch,
    InjectedContext,
    Question,
    TaskInput,
    TaskOutput,
    Turn,
    WaitingNotice,
)

__all__ = [
    "CONTRACT_VERSION",
    "ISOLATED",
    "SESSION_TYPE",
    "Answer",
    "CancelRequest",
    "CloseRequest",
    "Config",
    "ConfigureRequest",
    "ContextPatch",
    "ContextPolicy",
    "ContextVersions",
    "ContextView",
    "Counters",
    "ErrorInfo",
    "ForkSource",
    "InjectedContext",
    "LogEntry",
    "PatchRequest",
    "PendingEntry",
    "Question",
    "RejectedEntry",
    "RespondRequest",
    "RollbackRequest",
    "Snapshot",
    "StartRequest",
    "SubmitResult",
    "TaskInput",
    "TaskOutput",
    "TaskRecord",
    "TaskRequest",
    "Turn",
    "WaitingNotice",
    "task_workflow_id",
]
