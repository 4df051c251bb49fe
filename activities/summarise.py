"""The one activity of the `Summarise` kind: have the language model sum a conversation up."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.beating import beating
from activities.models.called import calling
from activities.models.protocol import LanguageModel, ModelReply, ModelRequest, SummarisingModel, SummaryRequest
from workflows.wire.conversation import SUMMARY
from workflows.wire.encoding import clip
from workflows.wire.limits import MODEL_HEARTBEAT_SECONDS

NO_SUMMARY = "NoSummary"
"""How a task ends whose model refuses, or is not let, to sum up what was said."""

_NONE = frozenset({"refusal", "content_filter"})
_LETTERS_A_WORD = 6  # of English text, a space included; a byte each


class SummaryActivities:
    """Holds the model that the worker was started with."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    @activity.defn
    async def summarise(self, request: SummaryRequest) -> ModelReply:
        """Ask the model for one summary of the old one and the turns, with heartbeats.

        What is too long is cut. Raises what the model raises, and ApplicationError (NoSummary) where it refuses.
        """
        if isinstance(self._model, SummarisingModel):
            asking = self._model.summarise(request)
        else:
            asking = self._model.reply(_asked(request))
        reply = await calling(self._model, _asked(request), beating(asking, MODEL_HEARTBEAT_SECONDS / 2))
        if reply.finish_reason in _NONE or not reply.text.strip():
            raise ApplicationError(f"ended by {reply.finish_reason}: {reply.text}", type=NO_SUMMARY, non_retryable=True)
        text = clip(reply.text, request.limit)
        return reply.model_copy(update={"text": text, "patch": None, "model": self._model.name})


def _asked(request: SummaryRequest) -> ModelRequest:
    """The request in words, behind the turns and the summary that a model is given for any question."""
    words = request.limit // _LETTERS_A_WORD // 2  # it counts badly
    question = (
        "Do not answer what was asked above. Write a summary of all of it, of what was said before included, for "
        "yourself: it will stand in place of these messages. Keep what may be asked for again or matters later: names, "
        "numbers, dates, places, ids, what the user wants and likes, decisions and reasons, what was done, what is "
        f"still open. Leave out greetings and what was put right since. Only the summary, at most {words} words."
    )
    values = {} if request.summary is None else {SUMMARY: request.summary}
    return ModelRequest(question=question, transcript=request.turns, values=values, write=False)
