"""What a worker looks at in every activation: faults of the SDK's core, mended; exits, held back; unreadable inputs.

Two faults were seen with temporalio 1.35 and make what a workflow does differ from its later replay, which leaves it
stuck for good or rewrites its past:

- A query that waited for a worker is answered from the whole history, and the workflow is given also those events that
  no workflow task has taken yet: it acts on them under the time and the continue-as-new suggestion of the task before.
  Such a query is refused, and the worker forgets what it had of the workflow; asked again, the query is answered.
- A workflow task that led to no command, followed by one for an update, is taken for a part of it by a worker that
  reads the history anew, and the update is put before the events of the first: a task that had ended runs again for a
  moment. An update is kept back until everything else in its activation is done, which is the order of a replay.
  By then the run may have ended or continued as new; the update is refused, and asked again it goes to the next run.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from temporalio import workflow
from temporalio.api.failure.v1 import Failure
from temporalio.bridge.proto.workflow_activation import DoUpdate, WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import PayloadConverter
from temporalio.plugin import SimplePlugin
from temporalio.worker import ReplayerConfig, WorkerConfig, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner

from starter.serving.escapes import Escapes
from starter.serving.large_outputs import LargeOutputs
from workflows.contract import SESSION_TYPE
from workflows.wire.errors import NOT_READY
from workflows.wire.escapes import escapes, told
from workflows.wire.messages import ConcealingFailureConverter
from workflows.wire.sealing import conceal, message_of

_REFUSAL = f"{NOT_READY}: the worker has not caught up with the workflow yet; ask again"
_UNREADABLE = "Failed decoding arguments"  # as the SDK says it
_OVER = "this run of the workflow is over; ask again"
_LAST_WORDS = {
    "complete_workflow_execution",
    "fail_workflow_execution",
    "cancel_workflow_execution",
    "continue_as_new_workflow_execution",
}


class CarefulActivations(SimplePlugin):
    """Gives a Worker or a Replayer what is said above: their `plugins` end with it.

    Plugins configure a worker one after the other, and many change its runner. This one comes last and takes whatever
    runners they leave. `watched` looks on at the activations of each workflow as they come from the core, and at
    what is answered.

    Kinds run in the SDK's sandbox, which finds clocks, chance and files in workflow code. Sessions
    and the kinds that come with them do without (`sandboxed=False`): it would take nearly half as much processor time
    again (`docs/performance.md`), and the test suite runs and replays every one of them in the sandbox.
    """

    def __init__(self, watched: "Watch | None" = None) -> None:
        super().__init__("durable-sessions.activations")
        self._watched = watched

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """See base class."""
        config["interceptors"] = [Escapes(), LargeOutputs(), *config.get("interceptors", [])]
        config["workflow_runner"] = CarefulRunner(config["workflow_runner"], self._watched)
        config["unsandboxed_workflow_runner"] = CarefulRunner(config["unsandboxed_workflow_runner"], self._watched)
        return config

    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        """See base class."""
        config["interceptors"] = [Escapes(), LargeOutputs(), *config.get("interceptors", [])]
        config["workflow_runner"] = CarefulRunner(config["workflow_runner"], self._watched)
        config["unsandboxed_workflow_runner"] = CarefulRunner(config["unsandboxed_workflow_runner"], self._watched)
        return config


class CarefulRunner(WorkflowRunner):
    """Runs workflows by another runner, which gets their activations as they should have come."""

    def __init__(self, runner: WorkflowRunner, watched: "Watch | None" = None) -> None:
        self._runner, self._watched = runner, watched

    def prepare_workflow(self, defn: workflow._Definition) -> None:
        """As the other runner does."""
        self._runner.prepare_workflow(defn)

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        """As the other runner does."""
        self._runner.set_worker_level_failure_exception_types(types)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """The other runner's instance, with its activations looked at first.

        What a plugin lets fail a workflow fails kinds, never a session: a fault in that stalls it until it is mended.
        """
        if det.defn.name == SESSION_TYPE:
            det = replace(det, worker_level_failure_exception_types=[])
        instance = self._runner.create_instance(det)
        converter = det.payload_converter_factory()
        conceals = issubclass(det.failure_converter_class, ConcealingFailureConverter)
        hide = partial(conceal, converter=converter) if conceals else None
        activate = _held(instance.activate, hide, fails=det.defn.name != SESSION_TYPE)
        if det.defn.name != SESSION_TYPE:
            activate = _unreadable_ends(activate, converter)
        activate = _patient(_updates_last(activate))
        if self._watched:
            activate = self._watched(det.info, activate)
        instance.activate = activate  # type: ignore[assignment, method-assign]
        return instance


Activate = Callable[[WorkflowActivation], WorkflowActivationCompletion]
Watch = Callable[[workflow.Info, Activate], Activate]


def _held(activate: Activate, hide: Callable[[Failure], None] | None, *, fails: bool) -> Activate:
    """An exit anywhere in workflow code, be it in a task of its own or a handler, fails the workflow if it `fails`.

    `hide` makes what a failure says ready to be encrypted.
    """

    def held(activation: WorkflowActivation) -> WorkflowActivationCompletion:
        try:
            return activate(activation)
        except BaseException as error:
            if not escapes(error):
                raise
            completion = WorkflowActivationCompletion()
            if fails and not _asks_only(activation):
                failure = completion.successful.commands.add().fail_workflow_execution.failure
                failure.application_failure_info.non_retryable = True
            else:
                failure = completion.failed.failure
            failure.message, failure.application_failure_info.type = told(error), type(error).__name__
            if hide:
                hide(failure)
            return completion

    return held


def _unreadable_ends(activate: Activate, converter: PayloadConverter) -> Activate:
    """A start input that does not decode ends a task under the name of the error: another attempt changes nothing.

    The SDK does so only where the kind says that any exception fails it.
    """

    def read(activation: WorkflowActivation) -> WorkflowActivationCompletion:
        completion = activate(activation)
        begins = any(job.HasField("initialize_workflow") for job in activation.jobs)
        if begins and message_of(completion.failed.failure, converter) == _UNREADABLE:
            ended = WorkflowActivationCompletion()
            failure = ended.successful.commands.add().fail_workflow_execution.failure
            failure.CopyFrom(completion.failed.failure.cause)
            failure.application_failure_info.non_retryable = True
            return ended
        return completion

    return read


def _asks_only(activation: WorkflowActivation) -> bool:
    """Whether it brings nothing that happened."""
    return all(job.HasField("query_workflow") or job.HasField("remove_from_cache") for job in activation.jobs)


def _patient(activate: Activate) -> Activate:
    """Every workflow task brings a later time; an activation with new events under the old time belongs to none."""
    length, nanoseconds = 0, -1

    def looked_at(activation: WorkflowActivation) -> WorkflowActivationCompletion:
        nonlocal length, nanoseconds
        if _asks_only(activation):
            return activate(activation)
        early = activation.history_length > length and activation.timestamp.ToNanoseconds() == nanoseconds
        if early and not activation.is_replaying:
            refusal = WorkflowActivationCompletion()
            refusal.failed.failure.message = _REFUSAL
            return refusal
        length, nanoseconds = activation.history_length, activation.timestamp.ToNanoseconds()
        return activate(activation)

    return looked_at


def _updates_last(activate: Activate) -> Activate:
    """One activation with updates becomes two, and their commands one list."""

    def in_order(activation: WorkflowActivation) -> WorkflowActivationCompletion:
        updates = [job for job in activation.jobs if job.HasField("do_update")]
        others = [job for job in activation.jobs if not job.HasField("do_update")]
        if not updates or not others:
            return activate(activation)
        completion = activate(_with_jobs(activation, others))
        if not completion.HasField("successful"):
            return completion
        if any(command.WhichOneof("variant") in _LAST_WORDS for command in completion.successful.commands):
            for job in updates:
                completion.successful.commands.append(_refused(job.do_update))
            return completion
        later = activate(_with_jobs(activation, updates))
        if not later.HasField("successful"):
            return later
        completion.MergeFrom(later)
        return completion

    return in_order


def _refused(update: DoUpdate) -> WorkflowCommand:
    """No run may promise what it has ended, or continued as new, without."""
    command = WorkflowCommand()
    command.update_response.protocol_instance_id = update.protocol_instance_id
    command.update_response.rejected.message = _OVER
    command.update_response.rejected.application_failure_info.type = NOT_READY
    command.update_response.rejected.application_failure_info.non_retryable = True
    return command


def _with_jobs(activation: WorkflowActivation, jobs: Sequence[WorkflowActivationJob]) -> WorkflowActivation:
    changed = WorkflowActivation()
    changed.CopyFrom(activation)
    del changed.jobs[:]
    changed.jobs.extend(jobs)
    return changed
