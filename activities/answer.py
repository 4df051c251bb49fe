"""The one activity of the `Answer` kind: ask the language model."""

import asyncio

from temporalio import activity

from activities import stream
from activities.models.protocol import LanguageModel, ModelReply, ModelRequest, TellingModel
from workflows.wire.escapes import contained
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
            reply = asyncio.ensure_future(self._reply(request, out))
            try:
                while not (await asyncio.wait({reply}, timeout=MODEL_HEARTBEAT_SECONDS / 2))[0]:
                    if not out.asked:  # else it would wipe out what was told
                        activity.heartbeat()
                return reply.result().model_copy(update={"model": self._model.name})
            finally:
                # Cancelled while waiting: end the request to the model too, and let it close its connection.
                if reply.cancel():
                    await asyncio.wait({reply})

    async def _reply(self, request: ModelRequest, out: stream.Emitter) -> ModelReply:
        with contained():  # out of a task of its own an exit would end the worker
            if out.asked and isinstance(self._model, TellingModel):
                return await self._model.tell(request, out.text)
            return await self._model.reply(request)
