"""Which language model a worker speaks to: `SESSIONS_MODEL`, read once when the worker starts."""

from activities.models.offline import OfflineModel
from activities.models.protocol import LanguageModel


def model_named(name: str) -> LanguageModel:
    """The model of that name: `offline` or `openai:<model>`.

    Raises ValueError for any other name, RuntimeError where the model's package or its settings are missing.
    """
    if name == "offline":
        return OfflineModel()
    if name.startswith("openai:") and name != "openai:":
        from activities.models.openai import OpenAIModel  # noqa: PLC0415 (an extra: only who uses it needs it)

        return OpenAIModel(name.removeprefix("openai:"))
    raise ValueError(f"SESSIONS_MODEL is {name!r}; it must be 'offline' or 'openai:<model>'")
