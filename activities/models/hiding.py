"""Takes secrets out of texts that others wrote: what an endpoint answers, how it fails, what its client logs.

An endpoint knows the secrets it was called with and may say them in any form. Those that endpoints, proxies and
frameworks use when they show a request are looked for; what is encrypted, reversed or spelled with gaps is not.
"""

import base64
import html
import logging
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "[key]"

PART = 8
"""Characters in a row that give a secret away: fewer stand in other words, too."""

WORD_PART = 12
"""The same of lowercase letters alone. Keys that open nothing are made of words, such as `sk-no-key-required`, and
every text has those."""

MASKED = 4
"""Characters that a masked key shows at either end; of one less than twice a part long they are too much like words."""

LOGGERS = (
    "httpx",
    "httpx2",
    *(f"{core}.{part}" for core in ("httpcore", "httpcore2") for part in ("connection", "http11", "http2", "proxy")),
    "openai._base_client",
)
"""Those of the client that say what is sent and received: at `info` the address of each call and the endpoint's reason
phrase, at `debug` its headers. A logger's filter sees nothing of those below it, so each is named."""

_WORD = re.compile(r"[^\s\"'`,;:=?&<>(){}\[\]]+")
_NO_SPACE = re.compile(r"\S+")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_SEVERAL = re.compile(rf"(?:{re.escape(HIDDEN)}){{2,}}")
_TRACEBACKS = logging.Formatter()
_MARKED = re.compile(b"\x01+|\x00+")


class Secrets(logging.Filter):
    """What must not be told. As a filter of a logger it takes that out of its lines."""

    def __init__(self, *secrets: str) -> None:
        super().__init__()
        known = [secret for secret in secrets if secret]
        self._parts = {part for secret in known for part in _parts_of_forms(secret)}
        self._sizes = {len(part) for part in self._parts}
        masked = (rf"{re.escape(s[:MASKED])}.*{re.escape(s[-MASKED:])}" for s in known if len(s) >= 2 * PART)
        alone = (rf"\A{re.escape(s)}\W*\Z" for s in known if not any(_parts(s)))
        self._marks = re.compile("|".join([r"\bsk-", r"\*{3}", *masked, *alone]))

    def hide(self, text: str) -> str:
        """`text`, which may be an answer: only what is certainly a part of a secret is taken out."""
        marked = bytearray(len(text))
        for place, size in self._found(text):
            marked[place : place + size] = b"\x01" * size
        runs = _MARKED.finditer(marked)
        text = "".join(HIDDEN if run[0][0] else text[run.start() : run.end()] for run in runs)
        return _NO_SPACE.sub(lambda word: HIDDEN if self._escaped_in(word[0]) else word[0], text)

    def telling(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """Takes an answer piece by piece, and says it as `hide` will have it, as far as no later piece can change that.

        A word of ASCII waits for its end, and what might be a part of a secret for the rest of it.
        """
        if not self._sizes:
            return say
        rest = ""

        def more(piece: str) -> None:
            nonlocal rest
            rest += piece
            if end := self._certain(rest):
                say(self.hide(rest[:end]))
                rest = rest[end:]

        return more

    def _certain(self, text: str) -> int:
        """How much of the beginning of `text` is hidden in the same way whatever comes after it.

        Up to the end of a word that no secret goes across, further from the end of the text than a part of one is long.
        """
        taken = {at for place, size in self._found(text) for at in range(place + 1, place + size)}
        for end in range(len(text) - max(self._sizes), 0, -1):
            if end not in taken and (text[end].isspace() or not text[end].isascii()):
                return end
        return 0

    def hide_words(self, text: str) -> str:
        """`text` of an error or a log line: what looks like any key goes, too, and short secrets that stand alone."""
        text = _WORD.sub(lambda word: HIDDEN if self._marks.search(word[0]) else word[0], self.hide(text))
        return _SEVERAL.sub(HIDDEN, text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Take them out of a line and its traceback, which older clients log at `debug`; every line passes."""
        record.msg, record.args = self.hide_words(record.getMessage()), None
        if record.exc_info:
            record.exc_text = self.hide_words(_TRACEBACKS.formatException(record.exc_info))
            record.exc_info = None
        return True

    def watch(self) -> None:
        """Take them out of what the client logs from now on."""
        for name in LOGGERS:
            logging.getLogger(name).addFilter(self)

    def unwatch(self) -> None:
        """The end of that."""
        for name in LOGGERS:
            logging.getLogger(name).removeFilter(self)

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where parts stand in `text`, and how long they are."""
        for size in self._sizes:
            yield from (
                (place, size) for place in range(len(text) - size + 1) if text[place : place + size] in self._parts
            )

    def _escaped_in(self, word: str) -> bool:
        """Whether `word` has a part in it once it is read as JSON, a URL or HTML."""
        if not ("\\" in word or "%" in word or "&" in word):
            return False
        plain = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] else escape[2], word)
        return next(self._found(html.unescape(unquote(plain))), None) is not None


def _parts_of_forms(secret: str) -> Iterator[str]:
    """Every part of a secret as it is, in a URL, in base64, in hexadecimal."""
    for form in (secret, quote(secret, safe=""), quote_plus(secret)):
        yield from _parts(form)
    data = secret.encode()
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        # What is encoded may begin before the secret and go on behind it: of each of the three ways in which its bytes
        # can be cut into groups, the characters that depend on nothing else.
        for before in range(3):
            encoded = alphabet(b"\x00" * before + data).decode()
            yield from _parts(encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6])
    digits = data.hex()
    for start in range(0, len(digits) - 2 * PART + 1, 2):
        yield digits[start : start + 2 * PART]
        yield digits[start : start + 2 * PART].upper()


def _parts(form: str) -> Iterator[str]:
    for start in range(len(form) - PART + 1):
        part = form[start : start + PART]
        if not _is_word(part):
            yield part
        elif _is_word(longer := form[start : start + WORD_PART]) and len(longer) == WORD_PART:
            yield longer


def _is_word(text: str) -> bool:
    return text.isascii() and text.isalpha() and text.islower()
