"""What the offline model keeps of a conversation that it sums up, and reads again: plain lines. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from workflows.wire.conversation import Exchange
from workflows.wire.encoding import clip, json_bytes
from workflows.wire.markdown import words_of

LINE_BYTES = 300
"""What is kept of one question, answer or statement."""

# Without commas and full stops: what runs over them is a longer sentence, not the name of something.
_STATEMENT = re.compile(
    r"(?i)(?:(?:please )?(?:remember|note)(?: that)?:? )?(?P<what>(?!what|who|where|when|which|how|why|it |that |this )"
    r"[\w' -]{1,60}?) (?:is|are|was|were) [^?]+"
)
_FORGET = re.compile(r"(?i)(?:please )?forget (?P<what>[\w' -]{1,60}?)[.!]*")
_FIRST, _ANSWER, _COUNT, _SAID = "First asked: ", "First answered: ", "Asked: ", "Said: "


@dataclass
class Memory:
    """What was asked first and answered to that, how many questions there were, and what was said to be, by its name.

    `others`: lines of a summary that is not this model's own.
    """

    asked: str | None = None
    answered: str | None = None
    count: int = 0
    said: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, summary: str | None) -> "Memory":
        """What a summary says."""
        found = cls()
        for line in (summary or "").splitlines():
            if line.startswith(_FIRST):
                found.asked = line.removeprefix(_FIRST)
            elif line.startswith(_ANSWER):
                found.answered = line.removeprefix(_ANSWER)
            elif line.startswith(_COUNT) and line.removeprefix(_COUNT).isdecimal():
                found.count = int(line.removeprefix(_COUNT))
            elif line.startswith(_SAID):
                found._note(line.removeprefix(_SAID))
            elif line.strip():
                found.others.append(line)
        return found

    def with_turns(self, turns: Iterable[Exchange]) -> "Memory":
        """The same after these turns. A turn whose input is no text is the work of another kind."""
        for turn in turns:
            if (words := text_of(turn.input)) is None:
                continue
            if not self.count:
                self.asked, self.answered = _line(words), _line(text_of(turn.output) or "")
            self.count += 1
            self._note(" ".join(words.split()))
        return self

    def forgetting(self, turns: Iterable[Exchange]) -> "Memory":
        """The same without what was to be forgotten in these turns."""
        for turn in turns:
            if match := _FORGET.fullmatch(text_of(turn.input) or ""):
                self.said.pop(_name(match["what"]), None)
        return self

    def recall(self, what: str) -> str | None:
        """What was said of it, in the words of then."""
        return self.said.get(_name(what))

    def text(self, limit: int) -> str:
        """All of it, in lines of `limit` bytes together. Of too many statements those in the middle leave."""
        head = [*self.others, f"{_COUNT}{self.count}"]
        head += [_FIRST + self.asked] if self.asked else []
        head += [_ANSWER + self.answered] if self.answered else []
        said = [_SAID + line for line in self.said.values()]
        while said and json_bytes("\n".join([*head, *said])) > limit:
            del said[len(said) // 2]
        return clip("\n".join([*head, *said]), limit)

    def _note(self, words: str) -> None:
        if match := _FORGET.fullmatch(words):
            self.said.pop(_name(match["what"]), None)
        elif (match := _STATEMENT.fullmatch(bare := words.rstrip(" .!"))) and not re.search(r"[.!;] ", words):
            self.said.pop(_name(match["what"]), None)  # what was said last stands last
            self.said[_name(match["what"])] = _line(bare)


def text_of(value: Any) -> str | None:
    """The text of a turn's input or output, bare or as `{"text": ...}`; null for any other JSON."""
    return words_of(value)


def _line(words: str) -> str:
    return clip(" ".join(words.split()), LINE_BYTES)


def _name(what: str) -> str:
    return " ".join(what.lower().split())
