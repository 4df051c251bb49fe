"""Agents of frameworks that tell what they say while they say it, on a real server."""

from temporalio.client import Client

from activities.models.offline import OfflineModel
from starter.client.connection import connect
from starter.client.sessions import SessionClient
from tests.framework_kinds import teller
from tests.harness import Harness
from tests.servers import Server
from tests.test_streaming import ended, text_said, until
from worker import build_worker
from workflows.contract import Config, task_workflow_id


async def _length(client: Client, session_id: str, task_id: str) -> int:
    return (await client.get_workflow_handle(task_workflow_id(session_id, task_id)).describe()).history_length


async def test_an_agent_of_pydantic_ai_tells_its_text_and_the_tools_it_calls(
    server: Server, elsewhere: Harness
) -> None:
    client = await connect(server.address, plugins=teller.PLUGINS)
    async with build_worker(client, OfflineModel(), queue=elsewhere.queue):
        name = f"told-{elsewhere.queue}"
        session = await SessionClient(client, elsewhere.queue).open(name, Config(default_kind="Teller", stream=True))
        task = await session.submit("What did order 7 cost?")
        events = await until(session.stream(task), ended)
        plain = await session.submit("What did order 7 cost?", stream=False)
        whole = await until(session.stream(plain), ended)
        lengths = [await _length(client, name, each) for each in (task, plain)]
    said = "".join(teller.WORDS)
    assert said == text_said(events) == text_said(whole)
    assert 1 == len([event for event in whole if event.text])
    assert "Let me look that up." in "".join(event.text or "" for event in events)
    [call] = [event.data for event in events if event.type == "tool_call"]
    [result] = [event.data for event in events if event.type == "tool_result"]
    assert {"name": "look_up", "arguments": {"order": "7"}, "id": call["id"]} == call
    assert {"name": "look_up", "content": "order 7", "id": call["id"]} == result
    assert 1 == sum(event.type == "restarted" for event in events)
    assert 3 < len([event for event in events if event.text])
    assert lengths[0] == lengths[1]
