"""Secrets are taken out of texts in every form that is looked for, wherever they stand, and nothing else is."""

import base64
import logging
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.hypothesis_profiles  # noqa: F401 (our profiles)
from activities.models.hiding import HIDDEN, LOGGERS, PART, Secrets
from tests import canary

KEY = "sk-proj-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7"
MASKED = "gsk_aB3dE6gH9jK2mN5pQ8sT"
KEYS = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=PART, max_size=60)
AROUND = st.binary(max_size=30)
WORDS = "Answer the user: what is required, anything else is placeholder text for a completion."


def words(parts: set[str]) -> set[str]:
    """Those that are lowercase letters alone, which may be told."""
    return {part for part in parts if part.isalpha() and part.islower()}


@given(secret=KEYS, before=st.text(max_size=20), after=st.text(max_size=20), data=st.data())
def test_no_eight_characters_in_a_row_stay_but_those_of_words(
    secret: str, before: str, after: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(secret) - PART))
    size = data.draw(st.integers(PART, len(secret) - start))
    hidden = Secrets(secret).hide(before + secret[start : start + size] + after)
    left = {secret[n : n + PART] for n in range(len(secret) - PART + 1) if secret[n : n + PART] in hidden}
    assert left == words(left)


@given(secret=KEYS, before=AROUND, after=AROUND)
def test_base64_hides_nothing_whatever_is_encoded_along(secret: str, before: bytes, after: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        said = f"it was {encode(before + secret.encode() + after).decode()}!"
        left = canary.told(secret, Secrets(secret).hide(said))
        assert left == words(left)


@pytest.mark.parametrize(
    "encoded",
    [
        KEY,
        f"x{KEY}y",
        KEY[10:18],
        KEY[:PART],
        KEY[-PART:],
        f"{KEY[:14]} {KEY[14:]}",
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(f"Bearer {KEY}".encode()).decode(),
        base64.b64encode(KEY[5:20].encode()).decode(),
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
        KEY[9:20].encode().hex(),
        "".join(f"%{ord(letter):02x}" for letter in KEY),
        "".join(f"\\u{ord(letter):04x}" for letter in KEY),
        "".join(f"&#{ord(letter)};" for letter in KEY),
        "".join(f"&#x{ord(letter):x};" for letter in KEY),
    ],
)
def test_a_key_is_found_in_every_form_that_is_looked_for(encoded: str) -> None:
    secrets = Secrets(KEY)
    for text in (f"Your key is {encoded}, is it not?", f'{{"key":"{encoded}"}}', f"<p>{encoded}</p>", encoded):
        for hidden in (secrets.hide(text), secrets.hide_words(text)):
            assert HIDDEN in hidden
            assert encoded not in hidden
            assert set() == canary.told(KEY, hidden)


def test_a_secret_of_words_is_found_by_twelve_letters() -> None:
    secrets = Secrets("correcthorsebatterystaple")
    said = "correcthorsebatterystaple, orsebatterys, correct horse battery staple, correcthors"
    assert f"{HIDDEN}, {HIDDEN}, correct horse battery staple, correcthors" == secrets.hide(said)


@pytest.mark.parametrize("secret", ["p/ss w?rd&more", "a+b/c+d/e+f==", "tok:en<>\"'x"])
def test_odd_signs_are_found_as_urls_json_and_html_spell_them(secret: str) -> None:
    secrets = Secrets(secret)
    spelled = [quote(secret), quote(secret, safe=""), secret.replace("/", "\\/").replace('"', '\\"')]
    spaced = "http://host/v1?key="
    assert spaced + HIDDEN == secrets.hide(spaced + quote_plus(secret))
    for form in spelled:
        assert secret[:PART] not in secrets.hide(form)
        assert HIDDEN in secrets.hide(form)
        assert f"http://host/v1?key={HIDDEN}" == secrets.hide(f"http://host/v1?key={quote(secret, safe='')}")


@pytest.mark.parametrize("secret", [KEY, "sk-no-key-required", "anything", "placeholder", "ollama", "none", ""])
def test_an_answer_is_left_alone_but_for_the_secret(secret: str) -> None:
    """Words that a key is made of are no part of it; nor does an answer lose what looks like any key."""
    for text in (WORDS, "OpenAI's keys begin with sk-, like sk-12345.", "***bold*** and\n***\n", "100 % \\o/ & so on"):
        assert text == Secrets(secret).hide(text)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("sk-other is no task-key, (gsk_***z) neither.", f"{HIDDEN} is no task-key, ({HIDDEN}) neither."),
        (f"You gave {MASKED[:4]}...{MASKED[-4:]}, did you?", f"You gave {HIDDEN}, did you?"),
        ("nor hunter2; hunter22 is another, user=hunter2&x", f"nor {HIDDEN}; hunter22 is another, user={HIDDEN}&x"),
        ("compilations of a completion are required", "compilations of a completion are required"),
    ],
)
def test_an_error_loses_masked_keys_those_of_others_and_short_secrets_that_stand_alone(said: str, left: str) -> None:
    assert left == Secrets(MASKED, "hunter2", "completions").hide_words(said)


def test_a_log_line_loses_them_while_it_is_watched(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = Secrets(KEY)
    secrets.watch()
    for name in LOGGERS:
        try:
            int(KEY)
        except ValueError:
            logging.getLogger(name).debug("to %s, %d", f"http://host/?key={KEY}", 401, exc_info=True)
    secrets.unwatch()
    assert [f"to http://host/?key={HIDDEN}, 401"] * len(LOGGERS) == caplog.messages
    assert len(LOGGERS) == caplog.text.count(f"invalid literal for int() with base 10: '{HIDDEN}'")
    assert set() == canary.told(KEY, caplog.text + repr([vars(record) for record in caplog.records]))
    assert [] == [name for name in LOGGERS if secrets in logging.getLogger(name).filters]


@pytest.mark.parametrize("text", ["x" * 131_072, "x%" * 65_536, "sk-proj-" * 16_384, "&#" * 65_536, "\\" * 131_072])
def test_a_large_text_takes_a_moment(text: str) -> None:
    started = time.process_time()
    Secrets(KEY).hide(text)
    assert time.process_time() - started < 1
