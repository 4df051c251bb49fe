"""The offline model: which questions it answers from its facts, the transcript and the values, and which it refuses."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.models.offline import FACTS, READ_ONLY, TOO_LONG, UNKNOWN, Fact, Knowledge, OfflineModel
from activities.models.protocol import LanguageModel, ModelReply, ModelRequest
from workflows.contract import ContextPatch, InjectedContext, Turn

MODEL = OfflineModel()
KNOWN = Knowledge.model_validate_json(FACTS.read_bytes()).facts

BANANA = "What colour is a banana?"
SUN = "How big is the sun?"
CONVERSATION = [(BANANA, "A ripe banana is yellow."), ({"text": SUN}, {"text": "The sun is huge."})]


def turns(*exchanges: tuple[Any, Any], first_version: int = 1) -> list[Turn]:
    return [
        Turn(task_id=f"t{version}", version=version, input=asked, output=said, finished_at=datetime.now(UTC))
        for version, (asked, said) in enumerate(exchanges, first_version)
    ]


async def ask(
    question: str,
    *,
    transcript: list[Turn] | None = None,
    values: dict[str, Any] | None = None,
    write: bool = True,
) -> ModelReply:
    seen = InjectedContext(version=9, transcript=transcript or [], values=values or {}, write=write)
    return await MODEL.reply(ModelRequest.of(question, seen))


def test_a_model_is_given_of_a_turn_what_was_asked_and_what_came_of_it() -> None:
    seen = InjectedContext(version=9, transcript=turns(*CONVERSATION), values={}, write=True)
    request = ModelRequest.of(BANANA, seen).model_dump(mode="json")
    assert [{"input": asked, "output": said} for asked, said in CONVERSATION] == request["transcript"]


def test_a_request_that_older_code_wrote_is_read_as_ever() -> None:
    """An activity that was under way when the code changed; every history has such inputs."""
    old = {"question": SUN, "values": {}, "write": True, "transcript": [t.model_dump() for t in turns(*CONVERSATION)]}
    assert [(e.input, e.output) for e in ModelRequest.model_validate(old).transcript] == CONVERSATION


def test_it_is_a_language_model_named_offline() -> None:
    model: LanguageModel = MODEL
    assert model.name == "offline"


async def test_the_colour_of_a_banana_is_yellow() -> None:
    assert ModelReply(text="A ripe banana is yellow.") == await ask(BANANA)


async def test_the_size_of_the_sun_is_a_size() -> None:
    text = (await ask(SUN)).text
    assert "1.39 million km" in text
    assert "109" in text
    assert "yellow" not in text


@pytest.mark.parametrize("fact", KNOWN, ids=lambda fact: fact.ask)
async def test_each_fact_answers_its_own_example_question(fact: Fact) -> None:
    assert ModelReply(text=fact.answer) == await ask(fact.ask)


def test_no_two_facts_share_a_question_or_an_answer() -> None:
    assert len({fact.ask for fact in KNOWN}) == len(KNOWN)
    assert len({fact.answer for fact in KNOWN}) == len(KNOWN)


def test_two_facts_for_the_same_question_are_refused(tmp_path: Path) -> None:
    fact = {"ask": "", "subject": ["banana"], "asked": ["colour"]}
    path = tmp_path / "facts.json"
    facts = [fact | {"answer": "Yellow."}, fact | {"answer": "Green."}]
    path.write_text(json.dumps({"filler": [], "spellings": {}, "facts": facts}))
    with pytest.raises(ValueError, match="two facts answer 'colour banana'"):
        OfflineModel(path)


@pytest.mark.parametrize(
    "question",
    [
        "what color is a banana",
        "WHAT COLOUR ARE BANANAS??",
        "Which colour does a banana have?",
        "Hi! Can you tell me what colour a banana is, please?",
        "And do you know the colour of bananas?",
        "What is a banana\u2019s colour?",
        "banana colour",
    ],
)
async def test_wording_spelling_and_number_do_not_matter(question: str) -> None:
    assert ModelReply(text="A ripe banana is yellow.") == await ask(question)


@pytest.mark.parametrize(
    "question",
    [
        "How big is a banana?",
        "What colour is the sun?",
        "What is a banana?",
        "banana",
        "colour",
        "What colour is it?",
        "What colour is my banana?",
        "What colour is an unripe banana?",
        "What colour is a banana not?",
        "Why is the sun big?",
        "How big is the sun compared to a galaxy?",
        "How big is the capital of France?",
        "Who is the capital of France?",
        "What was the capital of Germany in 1960?",
        "How many spiders have legs?",
        "What colour is a banana? How big is the sun?",
        "Wie groß ist die Sonne?",
        "2 + 2",
    ],
)
async def test_a_question_that_only_resembles_a_fact_is_not_answered(question: str) -> None:
    assert ModelReply(text=UNKNOWN) == await ask(question)


def test_what_it_does_not_know_it_says_with_the_way_to_a_real_model() -> None:
    assert UNKNOWN.startswith("I don't know.")
    assert "SESSIONS_MODEL=openai:<model>" in UNKNOWN


@pytest.mark.parametrize("question", ["Who are you?", "what are you", "Are you an AI?", "What can you do?"])
async def test_it_says_that_it_is_an_offline_stand_in(question: str) -> None:
    text = (await ask(question)).text
    assert "small offline stand-in" in text
    assert "list of facts" in text


@pytest.mark.parametrize("question", ["", "  ", "?", "Hello!"])
async def test_where_nothing_is_asked_it_invites_a_question(question: str) -> None:
    assert (await ask(question)).text.startswith("Hello.")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What did I ask first?", f'You first asked: "{BANANA}"'),
        ("What was my first question?", f'You first asked: "{BANANA}"'),
        ("What was the first thing I asked you?", f'You first asked: "{BANANA}"'),
        ("What did I ask last?", f'You last asked: "{SUN}"'),
        ("What did I ask before?", f'You last asked: "{SUN}"'),
        ("what did I just ask", f'You last asked: "{SUN}"'),
        ("What did I ask just now?", f'You last asked: "{SUN}"'),
        ("What was my previous question?", f'You last asked: "{SUN}"'),
        ("What did you answer?", 'The last answer was: "The sun is huge."'),
        ("What did you answer last?", 'The last answer was: "The sun is huge."'),
        ("What did you answer first?", 'The first answer was: "A ripe banana is yellow."'),
        ("What was your first answer?", 'The first answer was: "A ripe banana is yellow."'),
        ("How many questions have I asked?", "Earlier questions that I see: 2."),
        ("How many questions did I ask so far?", "Earlier questions that I see: 2."),
    ],
)
async def test_the_conversation_is_recalled_from_the_transcript(question: str, answer: str) -> None:
    assert ModelReply(text=answer) == await ask(question, transcript=turns(*CONVERSATION))


@pytest.mark.parametrize(
    "question", ["What did I ask first?", "What did you answer last?", "How many questions have I asked?"]
)
@pytest.mark.parametrize("transcript", [[], turns(({"order": 7}, None), (3, 4))], ids=["empty", "no questions"])
async def test_without_earlier_questions_it_says_that_it_sees_none(question: str, transcript: list[Turn]) -> None:
    assert "no earlier conversation" in (await ask(question, transcript=transcript)).text


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What did I ask first?", f'You first asked: "{BANANA}"'),
        ("What did you answer?", 'The last answer was: "{"colour":"yellow"}"'),
        ("How many questions have I asked?", "Earlier questions that I see: 1."),
    ],
)
async def test_turns_of_other_kinds_are_not_taken_for_questions(question: str, answer: str) -> None:
    transcript = turns(({"order": 7}, "done"), (BANANA, {"colour": "yellow"}), ([1], None))
    assert ModelReply(text=answer) == await ask(question, transcript=transcript)


async def test_the_first_question_seen_of_a_longer_session_is_not_called_the_first_of_all() -> None:
    expected = ModelReply(text=f'You first asked: "{SUN}", as far back as I see')
    assert expected == await ask("What did I ask first?", transcript=turns((SUN, "..."), first_version=2))


async def test_a_long_question_is_quoted_by_its_beginning() -> None:
    said = await ask("What did I ask first?", transcript=turns(("long " * 10_000, "...")))
    assert len(said.text) < 600


@pytest.mark.parametrize(
    ("statement", "text", "values"),
    [
        ("My name is Ada", "Nice to meet you, Ada.", {"name": "Ada"}),
        ("Hello, my name is Ada Lovelace!", "Nice to meet you, Ada Lovelace.", {"name": "Ada Lovelace"}),
        (
            "Remember that my favourite colour is green.",
            "Noted: your favourite colour is green.",
            {"favourite colour": "green"},
        ),
        ("My favorite Color is green", "Noted: your favourite colour is green.", {"favourite colour": "green"}),
        ("my dog\u2019s name is Rex", "Noted: your dog's name is Rex.", {"dog's name": "Rex"}),
        ("My hobbies are chess and Go", "Noted: your hobbies are chess and Go.", {"hobbies": "chess and Go"}),
    ],
)
async def test_what_one_says_of_oneself_becomes_a_patch(statement: str, text: str, values: dict[str, str]) -> None:
    assert ModelReply(text=text, patch=ContextPatch(set=values)) == await ask(statement)


async def test_forgetting_removes_the_value() -> None:
    said = await ask("Please forget my name.", values={"name": "Ada"})
    assert ContextPatch(unset=["name"]) == said.patch
    assert "no longer keep your name" in said.text


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What is my name?", "Your name is Ada."),
        ("What's my name?", "Your name is Ada."),
        ("Who am I?", "Your name is Ada."),
        ("Do you know who I am?", "Your name is Ada."),
        ("Do you remember my name?", "Your name is Ada."),
        ("Can you tell me my name?", "Your name is Ada."),
        ("What is my favorite color?", "Your favourite colour is green."),
        ("What are my hobbies?", 'Your hobbies are ["chess","Go"].'),
        ("What is my shoe size?", "I was not told your shoe size: it is not in what I see of this session."),
    ],
)
async def test_what_the_session_remembers_is_read_from_the_values(question: str, text: str) -> None:
    values = {"name": "Ada", "favourite colour": "green", "hobbies": ["chess", "Go"]}
    assert ModelReply(text=text) == await ask(question, values=values)


async def test_without_the_value_it_does_not_know_the_name() -> None:
    transcript = turns(("My name is Ada", "Nice to meet you, Ada."))
    assert "not told your name" in (await ask("Who am I?", transcript=transcript)).text


@pytest.mark.parametrize("text", ["My name is Ada", "Remember that my cat is black", "Forget my name"])
async def test_a_read_only_task_is_told_that_nothing_is_remembered(text: str) -> None:
    assert ModelReply(text=READ_ONLY) == await ask(text, write=False)


@pytest.mark.parametrize(
    "text",
    ["My name is Ada?", "My name is Ada. I am 36.", "My cat, who is old, is ill", "Remember that I am Ada", "my"],
)
async def test_what_is_no_plain_statement_is_not_remembered(text: str) -> None:
    assert ModelReply(text=UNKNOWN) == await ask(text)


@pytest.mark.parametrize(
    ("key", "value", "patch"),
    [
        ("k" * 40, "v" * 200, ContextPatch(set={"k" * 40: "v" * 200})),
        ("k" * 41, "v", None),
        ("k", "v" * 201, None),
    ],
)
async def test_what_is_remembered_has_a_bounded_length(key: str, value: str, patch: ContextPatch | None) -> None:
    said = await ask(f"My {key} is {value}")
    assert patch == said.patch
    assert (patch is None) == (said.text == TOO_LONG)


@pytest.mark.parametrize("part", ["my a is . ", "hi ", "what did i ask ", "tell me ", "' - ", "s's "])
async def test_a_text_of_the_largest_size_is_matched_at_once(part: str) -> None:
    started = time.process_time()
    for prefix in ("", "my ", "what is my ", "what did i "):
        await ask(prefix + part * (64 * 1024 // len(part)))
    assert time.process_time() - started < 2


SAID = st.sampled_from(["", "My name is ", "What is my ", "Forget my ", "Remember that my ", "What did I ask ", "Hi, "])


@settings(deadline=None)
@given(opening=SAID, text=st.text())
async def test_any_text_gets_a_reply_and_a_read_only_task_never_a_patch(opening: str, text: str) -> None:
    assert (await ask(opening + text)).text.strip()
    said = await ask(opening + text, write=False)
    assert said.text.strip()
    assert said.patch is None
    assert said.usage is None
