"""What a language model is to this system: one question in, one answer out.

`Answer` is the only kind that uses it. A model gets what the task was given of the session and nothing else.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, Field

from workflows.contract import ContextPatch, Turn
from workflows.wire.fields import FinishReason, Text
from workflows.wire.files import StoredFile

EMPTY_REPLY = "EmptyModelReply"
INVALID_REPLY = "InvalidModelReply"

ONCE_MORE = frozenset({EMPTY_REPLY, INVALID_REPLY})
"""Errors of a model that answers, at its price, with nothing that is an answer. Another call rarely betters it: the
kind makes one, and then no more. A model raises them as what no retry mends."""


class Attachment(BaseModel):
    """A file that goes with a question, and what is in it."""

    name: str | None
    media_type: str
    content: bytes


class ModelRequest(BaseModel):
    """A question with the injected context. With `write` false the reply must carry no patch.

    `files` go with it, and `stored` is the question where that was too large for a message: both are references on the
    way. A model is given them as `question` and `attachments`, which no history carries.
    """

    question: str
    files: list[StoredFile] = Field(default_factory=list)
    stored: StoredFile | None = None
    attachments: list[Attachment] = Field(default_factory=list, exclude=True)
    transcript: list[Turn]
    values: dict[str, Any]
    write: bool


class ModelReply(BaseModel):
    """The answer, what to remember of it in the session's context, what it cost, and the name of the model.

    `finish_reason`: why it may not be the whole answer, `refusal` where it says why there is none.
    """

    text: Text
    patch: ContextPatch | None = None
    usage: dict[str, int | float] | None = None
    finish_reason: FinishReason = None
    model: str | None = None


class LanguageModel(Protocol):
    """A model behind the `Answer` kind."""

    @property
    def name(self) -> str:
        """How a person knows the model, say `offline`."""
        ...

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer one question.

        Raises `ApplicationError(non_retryable=True)` for what a retry cannot mend, of the types `ONCE_MORE` where the
        kind shall ask one more time; anything else is retried by Temporal, so the model itself retries nothing.
        Cancellation of the task cancels this coroutine.
        """
        ...


@runtime_checkable
class TellingModel(LanguageModel, Protocol):
    """A model that can tell its answer while it writes it."""

    async def tell(self, request: ModelRequest, say: Callable[[str], None]) -> ModelReply:
        """What `reply` does; `say` is given the text of the answer before, piece by piece, from its beginning."""
        ...
