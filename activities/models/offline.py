"""A stand-in for a language model that needs no network: it matches words and says so.

It answers from a list of facts, from the injected transcript and its summary, and from the injected values. What it
cannot match it does not know: a wrong answer is worse than none.
"""

import asyncio
import re
import unicodedata
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from temporalio.exceptions import ApplicationError

from activities.models.offline_memory import Memory, text_of
from activities.models.protocol import ModelReply, ModelRequest, SummaryRequest
from workflows.contract import ContextPatch
from workflows.wire.conversation import summary_in
from workflows.wire.encoding import preview
from workflows.wire.errors import ErrorType

FACTS = Path(__file__).with_name("offline_facts.json")

KEY_CHARS = 40
VALUE_CHARS = 200
"""The longest X and Y of "my X is Y" that are remembered."""

WORD_SECONDS = 0.02
"""A word of an answer that somebody watches: fifty a second, as a quick model writes."""

QUOTE_BYTES = 500
"""What of an earlier question, answer or value is quoted."""

IDENTITY = (
    "I am the small offline stand-in for a language model: I match words against a list of facts and read back what "
    "this session remembers. For a real model, start the worker with SESSIONS_MODEL=openai:<model>."
)
UNKNOWN = f"I don't know. {IDENTITY}"
READ_ONLY = "I can't remember or forget anything in this session: this task must not change its context."
TOO_LONG = f"That is too long for me: up to {KEY_CHARS} characters for what it is, {VALUE_CHARS} for its value."


def _recall(speaker: str, verb: str, whose: str, noun: str) -> re.Pattern[str]:
    """Questions after one side of the conversation, such as "What did I ask first?"."""
    when = r"(?:(?:very )?(?:first|last|previous|just) )?"
    return re.compile(
        rf"(?i)what(?: (?:did|have) {speaker} {when}{verb}(?: you| me)?"
        rf"|(?:'s| is| was) {whose} {when}{noun}"
        rf"|(?:'s| is| was) the {when}(?:{noun}|thing) (?:that )?{speaker} {verb}(?: you| me)?"
        r")(?:(?: at)? first| last| before| earlier| previously| just now)?"
    )


_ASKED = _recall("i", "(?:ask(?:ed)?|say|said)", "my", "question")
_ANSWERED = _recall("you", "(?:answer(?:ed)?|say|said|repl(?:y|ied))", "your", "(?:answer|reply)")
_COUNT = re.compile(r"(?i)how many (?:questions|things) (?:have i asked|did i ask)(?: you)?(?: so far| yet| before)?")
_IDENTITY = re.compile(
    r"(?i)(?:who|what)(?: exactly)? are you|are you .+|what(?:'s| is) your name|what (?:can|do) you (?:do|know)"
)
_OPENING = re.compile(
    r"(?i)(?:(?:hello|hi|hey|please|ok|okay|so|and|then|now)\b[\s,.!:-]*)*"
    r"(?:(?:(?:can|could|would) you (?:please )?)?(?:tell me|do you know) (?=(?:what|which|who|how|why|when|the)\b))?"
)
# Without commas and full stops: what runs over them is a longer sentence, not the name of something.
_KEY = r"(?P<key>[\w' -]+?)"
_STATEMENT = re.compile(rf"(?i)(?:(?:remember|note)(?: that)?:? )?my {_KEY} (?P<verb>is|are) (?P<value>.+)")
_FORGET = re.compile(rf"(?i)forget my {_KEY}")
_LOOK_UP = re.compile(
    r"(?i)(?:(?:what|who|when|where)(?:'s| (?P<verb>is|are))|do you (?:know|remember)|(?:(?:can|could) you )?tell me) "
    rf"my {_KEY}|who (?:am i|i am)"
)
_WHAT_IS = re.compile(r"(?i)(?:what|who|where|when|which)(?:'s| is| are| was| were) (?P<what>[\w' -]+)")


class Fact(BaseModel, extra="forbid"):
    """One thing that is known: a subject and what can be asked about it, each in several wordings.

    A `*` in an `asked` wording is where the subject stands; without it the subject stands before or after. `ask` is an
    example question.
    """

    ask: str
    answer: str
    subject: list[str]
    asked: list[str]


class Knowledge(BaseModel, extra="forbid"):
    """The data file. `filler` words say nothing; `spellings` leads from the American spelling to the British one."""

    filler: frozenset[str]
    spellings: dict[str, str]
    facts: list[Fact]

    def words(self, text: str) -> tuple[str, ...]:
        """What `text` says, for comparison: no case, punctuation, filler, plural or American spelling."""
        found = re.findall(r"[^\W_]+", re.sub(r"'s\b", "", text.casefold()))
        singular = (_singular(word) for word in found if word not in self.filler)
        return tuple(self.spellings.get(word, word) for word in singular)

    def key(self, text: str) -> str:
        """The context key for the X of "my X"."""
        return " ".join(self.spellings.get(word, word) for word in text.lower().split())

    def index(self) -> dict[tuple[str, ...], Fact]:
        """Every wording of every fact. Raises ValueError when two facts answer the same one."""
        index: dict[tuple[str, ...], Fact] = {}
        for fact in self.facts:
            for asked, subject in product(fact.asked, fact.subject):
                for order in [asked] if "*" in asked else [f"{asked} *", f"* {asked}"]:
                    wording = order.replace("*", subject)
                    if index.setdefault(self.words(wording), fact) is not fact:
                        raise ValueError(f"two facts answer {wording!r}")
        return index


class OfflineModel:
    """A deterministic language model of some dozens of facts. Never asks the network, never costs anything."""

    def __init__(self, facts: Path = FACTS) -> None:
        self._knowledge = Knowledge.model_validate_json(facts.read_bytes())
        self._index = self._knowledge.index()

    @property
    def name(self) -> str:
        """How a person knows the model."""
        return "offline"

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer from the transcript, the values or the facts; say so when none of them has the answer.

        Raises ApplicationError (InvalidRequest) for files.
        """
        if request.attachments:
            message = "the offline model reads no files; start the worker with SESSIONS_MODEL=openai:<model>"
            raise ApplicationError(message, type=ErrorType.INVALID_REQUEST, non_retryable=True)
        text = " ".join(unicodedata.normalize("NFC", request.question).replace("\u2019", "'").split())
        text = _OPENING.sub("", text, count=1).rstrip(" .!?")
        if not text:
            return ModelReply(text='Hello. Ask me something, say "What colour is a banana?".')
        if _IDENTITY.fullmatch(text):
            return ModelReply(text=IDENTITY)
        before = Memory.of(summary_in(request.values))
        if recalled := _from_transcript(text, request, before):
            return ModelReply(text=recalled)
        if recalled := self._from_values(text, request, before):
            return ModelReply(text=recalled)
        if changed := self._changed(text, request):
            return changed
        # All words but filler, in order: who asks for more than a fact says, or for something else, gets no fact.
        fact = self._index.get(self._knowledge.words(text))
        return ModelReply(text=fact.answer if fact else _said(text, before.with_turns(request.transcript)) or UNKNOWN)

    async def summarise(self, request: SummaryRequest) -> ModelReply:
        """What was asked first, how much was asked, and what was said to be what."""
        return ModelReply(text=Memory.of(request.summary).with_turns(request.turns).text(request.limit))

    async def tell(self, request: ModelRequest, say: Callable[[str], None]) -> ModelReply:
        """Answer like `reply`, word by word, as a real model would."""
        reply = await self.reply(request)
        for word in re.findall(r"\s*\S+|\s+", reply.text):
            say(word)
            await asyncio.sleep(WORD_SECONDS)
        return reply

    def _from_values(self, text: str, request: ModelRequest, before: Memory) -> str | None:
        """What the session remembers of the person; null when the text does not ask for it."""
        values = request.values
        if not (match := _LOOK_UP.fullmatch(text)):
            return None
        key = self._knowledge.key(match["key"] or "name")
        if key not in values and (said := before.forgetting(request.transcript).recall(f"my {key}")):
            return f"You said: {said}."
        if key not in values:
            return f"I was not told your {_shown(key)}: it is not in what I see of this session."
        return f"Your {key} {(match['verb'] or 'is').lower()} {_shown(values[key])}."

    def _changed(self, text: str, request: ModelRequest) -> ModelReply | None:
        """Keep or drop a context value; null when the text asks for neither."""
        statement = None if "?" in request.question else _STATEMENT.fullmatch(text)
        match = statement or _FORGET.fullmatch(text)
        if match is None or (statement and re.search(r"[.!;] ", statement["value"])):
            return None
        if not request.write:
            return ModelReply(text=READ_ONLY)
        key = self._knowledge.key(match["key"])
        if len(key) > KEY_CHARS or (statement and len(statement["value"]) > VALUE_CHARS):
            return ModelReply(text=TOO_LONG)
        if statement is None:
            said = f"I no longer keep your {key}. The transcript of earlier turns stays as it is."
            return ModelReply(text=said, patch=ContextPatch(unset=[key]))
        verb, value = statement["verb"].lower(), statement["value"]
        said = f"Nice to meet you, {value}." if key == "name" else f"Noted: your {key} {verb} {value}."
        return ModelReply(text=said, patch=ContextPatch(set={key: value}))


def _from_transcript(text: str, request: ModelRequest, before: Memory) -> str | None:
    """What was asked and answered earlier; null when the text does not ask for it."""
    asked, answered, count = _ASKED.fullmatch(text), _ANSWERED.fullmatch(text), _COUNT.fullmatch(text)
    if not (asked or answered or count):
        return None
    # A turn whose input is no text is the work of another kind, not a question.
    questions = [turn for turn in request.transcript if text_of(turn.input) is not None]
    if count and (questions or before.count):
        return f"Earlier questions that I see: {before.count + len(questions)}."
    if "first" in text.lower() and before.asked:
        asked_first, said_first = _shown(before.asked), _shown(before.answered or "")
        return f'You first asked: "{asked_first}"' if asked else f'The first answer was: "{said_first}"'
    if not questions:
        return "I see no earlier conversation in what I was given of this session."
    which, turn = ("first", questions[0]) if "first" in text.lower() else ("last", questions[-1])
    said = f'You {which} asked: "{_shown(turn.input)}"' if asked else f'The {which} answer was: "{_shown(turn.output)}"'
    return f"{said}, as far back as I see" if which == "first" and not request.whole else said


def _said(text: str, memory: Memory) -> str | None:
    """What the person has said of it; null when the text does not ask what something is, or nothing was said of it."""
    asked = _WHAT_IS.fullmatch(text)
    said = memory.recall(asked["what"]) if asked else None
    return None if said is None else f"You said: {said}."


def _shown(value: Any) -> str:
    text = text_of(value)
    return preview(value if text is None else text, QUOTE_BYTES)


def _singular(word: str) -> str:
    """A rough stem. Facts and questions go through it alike, so a stem that is no word does no harm."""
    if not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith("oes") else word[:-1]
