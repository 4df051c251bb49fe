"""`AdkShop`: an agent of Google's ADK that looks orders up, and refunds them once a person said yes."""

from datetime import timedelta

from google.adk.agents import LlmAgent
from google.adk.events import Event
from google.adk.runners import InMemoryRunner
from google.adk.tools.function_tool import FunctionTool
from google.genai.types import Content, Part
from temporalio import activity, workflow
from temporalio.google_adk import GoogleAdkPlugin, TemporalModel, hitl_confirmation_response, pending_hitl_requests
from temporalio.google_adk.workflow import activity_as_tool
from temporalio.plugin import SimplePlugin
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from examples.google_adk.model import NAME
    from examples.offline import INSTRUCTIONS
    from examples.orders import pay_back, price
    from workflows.contract import TaskInput, TaskOutput
    from workflows.kinds.approval import ask_approval
    from workflows.kinds.usage import UsageSum
    from workflows.wire.conversation import conversation


@activity.defn
async def look_up(order: str) -> str:
    """What an order cost."""
    return await price(order)


@activity.defn
async def refund(order: str, cents: int) -> str:
    """Refund an order."""
    return await pay_back(order, cents)


# The heartbeat says within seconds that a worker is gone; without one, a killed tool waits for the other timeout.
LIMITS = ActivityConfig(start_to_close_timeout=timedelta(minutes=5), heartbeat_timeout=timedelta(seconds=10))
REFUND = FunctionTool(activity_as_tool(refund, **LIMITS), require_confirmation=True)
TOOLS = [activity_as_tool(look_up, **LIMITS), REFUND]
shop = LlmAgent(name="shop", model=TemporalModel(NAME, LIMITS), instruction=INSTRUCTIONS, tools=TOOLS)


@workflow.defn(name="AdkShop", failure_exception_types=[Exception])
class AdkShopWorkflow:
    """The session's turns are ADK's events; a confirmation that a tool needs becomes a question of the session."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        runner = InMemoryRunner(shop)
        session = await runner.session_service.create_session(app_name=runner.app_name, user_id="person")
        for message in conversation(task.context.transcript, task.context.values):
            author, role = ("user", "user") if message["role"] == "user" else (shop.name, "model")
            event = Event(author=author, content=Content(role=role, parts=[Part(text=message["content"])]))
            await runner.session_service.append_event(session, event)
        events, parts = list[Event](), [Part(text=str(task.input))]
        while parts:
            said = Content(role="user", parts=parts)  # with its role: what is not set does not reach the model
            run = [e async for e in runner.run_async(user_id="person", session_id=session.id, new_message=said)]
            events, parts = [*events, *run], []
            for asked in (request for event in run for request in pending_hitl_requests(event)):
                call = asked.original_function_call or {}
                answer = await ask_approval(task, call["name"], call["args"])  # changed arguments are no yes to these
                yes = answer.approved and not answer.changed
                parts.append(hitl_confirmation_response(asked.interrupt_id, confirmed=yes))
        usage = UsageSum()
        for spent in (event.usage_metadata for event in events if event.usage_metadata):  # of all runs
            tokens = {"input_tokens": spent.prompt_token_count, "output_tokens": spent.candidates_token_count}
            usage.add({"requests": 1, **tokens})
        return TaskOutput(output="".join(part.text or "" for part in events[-1].message.parts), usage=usage.total)


KINDS = [SimplePlugin("google-adk shop", workflows=[AdkShopWorkflow], activities=[look_up, refund]), GoogleAdkPlugin()]
