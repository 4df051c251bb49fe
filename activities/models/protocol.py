"""What a language model is to this system: one question in, one answer out; turns in, a summary of them out.

`Answer` and `Summarise` are the only kinds that use it. A model gets what the task was given of the session and nothing
else.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, Field

from workflows.contract import ContextPatch, InjectedContext
from workflows.wire.fields import FinishReason, Text
from workflows.wire.files import StoredFile

EMPTY_REPLY = "EmptyModelReply"
INVALID_REPLY = "InvalidModelReply"

ONCE_MORE = frozenset({EMPTY_REPLY, INVALID_REPLY})
"""Errors of a model that answers, at its price, with nothing that is an answer. Another call rarely betters it: the
kind makes one, and then no more. A model raises them as what no retry mends."""


class Exchange(BaseModel):
    """What was asked in an earlier turn, and what came of it: all that a model needs of it."""

    input: Any = None
    output: Any = None


class Attachment(BaseModel):
    """A file that goes with a question, and what is in it."""

    name: str | None
    media_type: str
    content: bytes


class ModelRequest(BaseModel):
    """A question with the injected context. With `write` false the reply must carry no patch.

    `whole`: whether the transcript begins with the session; null in requests that older code wrote, with the turns as
    they are in the session. Histories have those, and open tasks: they are read as ever. `files`
    go with it, and `stored` is the question where that was too large for a message: both are references on the
    way. A model is given them as `question` and `attachments`, which no history carries.
    """

    question: str
    files: list[StoredFile] = Field(default_factory=list)
    stored: StoredFile | None = None
    attachments: list[Attachment] = Field(default_factory=list, exclude=True)
    transcript: list[Exchange]
    values: dict[str, Any]
    write: bool
    whole: bool | None = None

    @classmethod
    def of(
        cls,
        question: str,
        context: InjectedContext,
        *,
        files: Sequence[StoredFile] = (),
        stored: StoredFile | None = None,
    ) -> "ModelRequest":
        """The request of a task that sees this of its session."""
        turns = context.transcript
        return cls(
            question=question,
            files=list(files),
            stored=stored,
            transcript=[Exchange(input=turn.input, output=turn.output) for turn in turns],
            values=context.values,
            write=context.write,
            # A session's first change makes version 1. Where that is out of sight, older questions may be too.
            whole=not turns or turns[0].version <= 1,
        )


class SummaryRequest(BaseModel):
    """Turns, and the summary of those before them, to be made one summary that weighs `limit` bytes at most."""

    turns: list[Exchange]
    summary: str | None
    limit: int


class ModelReply(BaseModel):
    """The answer, what to remember of it in the session's context, what it cost, and the model that gave it.

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


@runtime_checkable
class SummarisingModel(LanguageModel, Protocol):
    """A model with a way of its own to sum a conversation up; all others are asked for it in words."""

    async def summarise(self, request: SummaryRequest) -> ModelReply:
        """The summary as the reply's text. Raises like `reply`."""
        ...
