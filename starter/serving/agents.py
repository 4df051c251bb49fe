"""What a worker looks at of agent frameworks before it starts: what goes wrong there in silence otherwise."""

from typing import Any

from temporalio import activity
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkerConfig

from starter.serving.kinds import KindsError


class RegisteredAgents(SimplePlugin):
    """Comes after all plugins that register something. Raises KindsError for an agent that none of them registered.

    `PydanticAIPlugin` registers the activities of the agents that it finds in kinds of plugins before it. Those of
    later ones it does not see: their calls of a model would be unknown to the worker until the task's timeout.
    """

    def __init__(self) -> None:
        super().__init__("durable-sessions.agents")

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """See base class."""
        registered = {_name(function) for function in config.get("activities", ())}
        for kind in config.get("workflows", ()):
            for agent in getattr(kind, "__pydantic_ai_agents__", ()):
                # pydantic-ai does not change these names: its runs that wait are found by them.
                if f"agent__{_agent_name(agent)}__model_request" not in registered:
                    raise KindsError(
                        f"{kind.__qualname__}: no plugin registers the activities of its agent {_agent_name(agent)!r}; "
                        "PydanticAIPlugin does so for kinds before it: [SimplePlugin(...), PydanticAIPlugin()]"
                    )
        return config


def _agent_name(agent: Any) -> str:
    """What an agent of pydantic-ai is called on a worker."""
    from pydantic_ai.durable_exec.temporal import TemporalDurability  # noqa: PLC0415 (where it is used, it is there)

    durability = TemporalDurability[Any].from_agent(agent)
    return str(durability.name if durability else agent.name)


def _name(function: Any) -> str | None:
    """The name of an activity; null for one that takes every name."""
    return activity._Definition.must_from_callable(function).name  # noqa: SLF001 (the SDK has no other way to ask)
