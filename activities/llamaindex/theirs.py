"""What we use of LlamaIndex, imported in one place, by names that are no import statements.

Its package is called `workflows`, as ours is in the repository; in the wheel, where ours is beneath `durable_sessions`,
the two live side by side, and the build rewrites every import statement of `workflows` to ours. LlamaIndex's own alias,
`llama_agents.workflows`, loads some of its modules a second time: their classes are then not the ones that it uses.
"""

from importlib import import_module
from typing import Any


def _of(module: str, *names: str) -> list[Any]:
    try:
        found = import_module(f"workflows.{module}")
        return [getattr(found, name) for name in names]
    except (ImportError, AttributeError) as error:
        raise ImportError(
            "kinds of LlamaIndex need pip install 'durable-sessions[llamaindex]', and not the repository of Durable "
            f"Sessions on the path: its own folder `workflows` hides LlamaIndex's ({error})"
        ) from error


[Workflow] = _of("workflow", "Workflow")
[Context] = _of("context", "Context")
[DictState, InMemoryStateStore] = _of("context.state_store", "DictState", "InMemoryStateStore")
[HumanResponseEvent, InputRequiredEvent, StopEvent, WorkflowIdleEvent] = _of(
    "events", "HumanResponseEvent", "InputRequiredEvent", "StopEvent", "WorkflowIdleEvent"
)
[BasicRuntime] = _of("plugins.basic", "BasicRuntime")
[Runtime] = _of("runtime.types.plugin", "Runtime")
[BaseRuntimeDecorator, BaseInternalRunAdapterDecorator] = _of(
    "runtime.runtime_decorators", "BaseRuntimeDecorator", "BaseInternalRunAdapterDecorator"
)
[rebuild_state_from_ticks] = _of("runtime.control_loop", "rebuild_state_from_ticks")
[AddWaiter, StepWorkerResult, StepWorkerStateContextVar] = _of(
    "runtime.types.results", "AddWaiter", "StepWorkerResult", "StepWorkerStateContextVar"
)
[StepId] = _of("runtime.types.step_id", "StepId")
[TickAddEvent, TickStepResult, TickWaiterTimeout] = _of(
    "runtime.types.ticks", "TickAddEvent", "TickStepResult", "TickWaiterTimeout"
)
