"""A workflow of LlamaIndex as a kind: in two steps, of which a killed worker repeats none that was finished."""

from durable_sessions import TaskInput, TaskOutput, llamaindex
from llama_index.core.workflow import Event, StartEvent, StopEvent, Workflow, step
from temporalio import workflow
from temporalio.plugin import SimplePlugin

FACTS = {"banana": "yellow", "sun": "1,400,000 kilometres across"}


class Found(Event):
    """What a question is about."""

    thing: str


class Facts(Workflow):
    """Knows two things."""

    @step
    async def find(self, ev: StartEvent) -> Found:
        """What the question is about."""
        return Found(thing=next((thing for thing in FACTS if thing in ev.input), "nothing"))

    @step
    async def tell(self, ev: Found) -> StopEvent:
        """What is known of it."""
        return StopEvent(result=FACTS.get(ev.thing, "I do not know"))


facts = llamaindex.flow(Facts)


@workflow.defn(name="Facts", sandboxed=False, failure_exception_types=[Exception])
class FactsWorkflow:
    """Input: a question. Output: the fact."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        """Run the flow."""
        return await facts.run(task)


KINDS = SimplePlugin("facts", workflows=[FactsWorkflow], activities=facts.activities)
