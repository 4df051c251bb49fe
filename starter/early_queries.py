"""Keeps a query from making a workflow run ahead of its own workflow task.

A query that waited for a worker is answered from the whole history, and the SDK's core (temporalio 1.35) then hands
the workflow also those events that no workflow task has taken yet. It acts on them under the time and the
continue-as-new suggestion of the task before; a later replay, under those of their own task, may decide otherwise, and
a workflow whose replay differs from its history is stuck for good. Such a query is refused instead, and the worker
forgets what it had of the workflow; asked again, the query is answered.
"""

from collections.abc import Callable, Sequence

from temporalio import workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner

from workflows.errors import NOT_READY

_REFUSAL = f"{NOT_READY}: the worker has not caught up with the workflow yet; ask again"


class PatientRunner(WorkflowRunner):
    """Runs workflows by another runner, but for activations that come before their workflow task."""

    def __init__(self, runner: WorkflowRunner) -> None:
        self._runner = runner

    def prepare_workflow(self, defn: workflow._Definition) -> None:
        """As the other runner does."""
        self._runner.prepare_workflow(defn)

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        """As the other runner does."""
        self._runner.set_worker_level_failure_exception_types(types)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """The other runner's instance, with its activations looked at first."""
        instance = self._runner.create_instance(det)
        instance.activate = _patient(instance.activate)  # type: ignore[assignment, method-assign]
        return instance


_Activate = Callable[[WorkflowActivation], WorkflowActivationCompletion]


def _patient(activate: _Activate) -> _Activate:
    """Every workflow task brings a later time; an activation with new events under the old time belongs to none."""
    length, nanoseconds = 0, -1

    def looked_at(activation: WorkflowActivation) -> WorkflowActivationCompletion:
        nonlocal length, nanoseconds
        if all(job.HasField("query_workflow") or job.HasField("remove_from_cache") for job in activation.jobs):
            return activate(activation)
        early = activation.history_length > length and activation.timestamp.ToNanoseconds() == nanoseconds
        if early and not activation.is_replaying:
            refusal = WorkflowActivationCompletion()
            refusal.failed.failure.message = _REFUSAL
            return refusal
        length, nanoseconds = activation.history_length, activation.timestamp.ToNanoseconds()
        return activate(activation)

    return looked_at
