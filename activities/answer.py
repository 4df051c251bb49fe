"""The one activity of the `Answer` kind: ask the language model."""

from temporalio import activity

from activities import stream
from activities.beating import beating
from activities.models.protocol import LanguageModel, ModelReply, ModelRequest, TellingModel
from workflows.wire.limits import MODEL_HEARTBEAT_SECONDS


class AnswerActivities:
    """Holds the model that the worker was started with."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    @activity.defn
    async def answer_question(self, request: ModelRequest) -> ModelReply:
        """Ask the model one question, with heartbeats: they tell that the worker lives and bring a cancellation.

        The answer is told while it is written, where somebody asked for that and the model can.
        Raises what the model raises: non-retryable `ApplicationError` for what a retry cannot mend.
        """
        async with stream.emitting() as out:
            if out.asked and isinstance(self._model, TellingModel):
                asking = self._model.tell(request, out.text)
            else:
                asking = self._model.reply(request)
            reply = await beating(asking, MODEL_HEARTBEAT_SECONDS / 2)
        return reply.model_copy(update={"model": self._model.name})
