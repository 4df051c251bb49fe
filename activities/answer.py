"""The one activity of the `Answer` kind: ask the language model, with what stored files have in them."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import files, stream
from activities.beating import beating
from activities.models.called import calling
from activities.models.protocol import Attachment, LanguageModel, ModelReply, ModelRequest, TellingModel
from workflows.wire.asking import asked_of
from workflows.wire.errors import SessionError
from workflows.wire.files import is_text
from workflows.wire.limits import MODEL_FILES_BYTES, MODEL_HEARTBEAT_SECONDS

_PAUSE = MODEL_HEARTBEAT_SECONDS / 2


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
        request = await _with_files(request)
        async with stream.emitting() as out:
            if out.asked and isinstance(self._model, TellingModel):
                asking = self._model.tell(request, out.text)
            else:
                asking = self._model.reply(request)
            reply = await calling(self._model, request, beating(asking, _PAUSE))
        return reply.model_copy(update={"model": self._model.name})


async def _with_files(request: ModelRequest) -> ModelRequest:
    """The request with the contents that it refers to. Raises what `activities.files` raises."""
    question, attached = request.question, request.files
    if request.stored and is_text(request.stored.media_type):
        value = await beating(files.read_input(request.stored.reference(), MODEL_FILES_BYTES), _PAUSE)
        try:
            asked = asked_of(value, request.stored.session_id)
        except SessionError as error:
            raise ApplicationError(error.message, type=error.type, non_retryable=True) from None
        question, attached = asked.text, asked.files
    elif request.stored:
        attached = [request.stored]
    room, attachments = MODEL_FILES_BYTES, []
    for file in attached:
        content = await beating(files.read(file.reference(), room), _PAUSE)
        room -= len(content)
        attachments.append(Attachment(name=file.name, media_type=file.media_type, content=content))
    return request.model_copy(update={"question": question, "attachments": attachments})
