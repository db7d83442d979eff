"""The numbers of makers without a public tokenizer, and what is counted with them."""

from __future__ import annotations

from time import thread_time

import pytest

from tokentrace import count, dialects
from tokentrace.counting.rules import makers
from tokentrace.counting.rules.makers import MAKERS, OTHER, maker
from tokentrace.counting.text import ruler

RULER = ruler("o200k_base")
TOOL = {"toolSpec": {"name": "tide", "description": "Tells.", "inputSchema": {"json": {}}}}


def converse(model, *texts, **extra):
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": [{"text": t}]} for i, t in enumerate(texts)]
    return count({"modelId": model, "messages": turns, **extra}, api="bedrock.converse")


@pytest.mark.parametrize(
    ("model", "match"),
    [
        ("us.amazon.nova-2-lite-v1:0", "*nova-2*"),
        ("amazon.nova-micro-v1:0", "*nova*"),
        ("cohere.command-r-plus-v1:0", "*command-r*"),
        ("command-r-08-2024", "*command-r-*-2024*"),
        ("command-a-plus-05-2026", "*command-a-plus*"),
        ("meta.llama2-13b-chat-v1", "*llama2*"),
        ("meta.llama3-1-405b-instruct-v1:0", "*llama*"),
        ("llama3.2:3b", "*llama3.2*"),
        ("a model nobody knows", "*"),
    ],
)
def test_a_model_has_the_row_of_its_maker(model, match):
    """The first row that a model's name fits counts."""
    assert maker(model).match == match


def test_every_row_can_be_reached():
    """No row stands behind one that takes all of its names."""
    names = [row.match.replace("*", "").replace("[4-9]", "4") for row in MAKERS]
    assert [maker(name).match for name in names] == [row.match for row in MAKERS]


def test_nova_adds_nothing_to_a_plain_text():
    """A text alone is the whole prompt; a conversation has a few tokens an answer."""
    text = "Which lighthouse is the oldest?"
    plain = RULER.tokens(text)[0]
    assert converse("amazon.nova-lite-v1:0", text).total == plain
    talk = converse("amazon.nova-lite-v1:0", text, "Cordouan.", text)
    more = talk.total - 2 * plain - RULER.tokens("Cordouan.")[0]
    assert more == makers.NOVA.answer == talk.components["framing"]


def test_a_hidden_prompt_for_tools_is_framing():
    """The hidden prompt stands once before the tools, as a detail of the framing."""
    model = "amazon.nova-pro-v1:0"
    one = converse(model, "Hi", toolConfig={"tools": [TOOL]})
    two = converse(model, "Hi", toolConfig={"tools": [TOOL, TOOL]})
    details = {(d.component, d.name): d.tokens for d in one.details}
    assert details["framing", "tool_use_prompt"] == makers.NOVA.prompt
    assert two.components["framing"] == one.components["framing"]
    assert two.components["tools"] == 2 * one.components["tools"]


def test_what_nova_2_thought_is_forgotten():
    """Reasoning of earlier answers is not in the prompt again."""
    answer = {"role": "assistant", "content": [{"text": "Yes."}]}
    thought = {"reasoningContent": {"reasoningText": {"text": "A long thought. " * 20}}}
    longer = {"role": "assistant", "content": [thought, {"text": "Yes."}]}
    question = {"role": "user", "content": [{"text": "Sure?"}]}
    totals = [
        count({"modelId": "amazon.nova-2-lite-v1:0", "messages": [question, one, question]},
              api="bedrock.converse").total
        for one in (answer, longer)
    ]  # fmt: skip
    assert totals[0] == totals[1]


def test_qwen_forgets_what_stands_as_thought_in_its_answers():
    """The text between think tags ahead of an earlier answer is taken out."""
    model = "qwen.qwen3-32b-v1:0"
    plain = converse(model, "Sure?", "Yes.", "Really?")
    thought = converse(model, "Sure?", "<think>\nLet me see. I am.\n</think>\n\nYes.", "Really?")
    assert plain.total == thought.total


def test_digits_cost_one_token_each():
    """Where a tokenizer takes digits one by one, a number costs its digits."""
    assert makers.digits("7 42 1234567") == 1 + (7 - 3)
    found = converse("amazon.nova-lite-v1:0", "1234567").total
    assert found == 7


def test_capitals_cost_more():
    """A long text in capitals is split finer than the same text in small letters by o200k_base."""
    text = "KEEP CLEAR OF THE ROCKS AND LISTEN FOR THE HORN IN THE FOG AT ALL TIMES."
    assert makers.shouted(text)
    assert not makers.shouted(text.capitalize())
    assert not makers.shouted("SOS")
    for model in ("amazon.nova-lite-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"):
        tokens = RULER.tokens(text)[0]
        assert converse(model, text).total > 1.2 * tokens


def test_a_text_that_is_the_whole_prompt_has_no_template():
    """InvokeModel with a prompt as text adds no framing, whatever the model's template is."""
    text = "Name the four cardinal directions."
    found = count({"modelId": "meta.llama3-8b-instruct-v1:0", "prompt": text}, api="bedrock.invoke")
    assert set(found.components) == {"user"}
    chat = count({"model": "llama3", "messages": [{"role": "user", "content": text}]},
                 api="ollama.chat")  # fmt: skip
    assert chat.components["framing"] == maker("llama3").once + maker("llama3").user


def test_cohere_shows_documents_and_schemas():
    """Documents are results with a prompt of their own; a schema is in the prompt as well."""
    body = {"model": "command-a-03-2025", "messages": [{"role": "user", "content": "Who?"}]}
    plain = count(body, api="cohere.chat")
    papers = count({**body, "documents": ["Ada built it."]}, api="cohere.chat")
    form = {"type": "json_object", "json_schema": {"type": "object", "properties": {}}}
    shaped = count({**body, "response_format": form}, api="cohere.chat")
    assert papers.total - plain.total > makers.COMMAND_A.document[0]
    assert papers.components["tool_results"] == RULER.tokens("Ada built it.")[0]
    assert shaped.total > plain.total + makers.COMMAND_A.schema[1]


def test_tokens_of_an_earlier_answer_are_counted_by_their_number():
    """Ollama's context is a list of tokens: it is as long as it is."""
    body = {"model": "llama3", "prompt": "And?"}
    more = count({**body, "context": list(range(77))}, api="ollama.generate")
    found = more.total - count(body, api="ollama.generate").total
    assert found == 77 + maker("llama3").answer


def test_the_label_says_what_was_learned():
    """Counts by learned numbers are calibrated, by guessed ones estimated with a wide bound."""
    learned, guessed = converse("amazon.nova-pro-v1:0", "Hi"), converse("who.knows-1", "Hi")
    assert (learned.method, guessed.method) == ("calibrated", "estimated")
    assert guessed.error > OTHER.plain[1] > learned.error


def test_foreign_letters_widen_the_bound():
    """Text in other letters than Latin has a wider bound than as many tokens of Latin text."""
    latin = converse("amazon.nova-pro-v1:0", "The old tower stands on the western rock. " * 20)
    other = converse("amazon.nova-pro-v1:0", "Старый маяк стоит на западной скале. " * 20)
    assert other.error / other.total > 2 * latin.error / latin.total
    assert makers.foreign(()) == 0.0


def test_an_image_is_measured_by_its_area():
    """An image of known size costs its area; one that is only named costs a wide guess."""
    model, body = "amazon.nova-pro-v1:0", {"role": "user"}
    png = "iVBORw0KGgoAAAANSUhEUgAAAoAAAAHgCAIAAAA="
    blocks = [{"bytes": png}, {"s3Location": {"uri": "s3://a/b.png"}}]
    sized, named = (
        count({"modelId": model, "messages": [
            {**body, "content": [{"image": {"format": "png", "source": one}}]}]},
            api="bedrock.converse")
        for one in blocks
    )  # fmt: skip
    assert sized.components["media"] == 640 * 480 // makers.NOVA.pixels
    assert named.error > sized.error


def reading(api, body):
    """Return the CPU seconds that reading a body takes."""
    start = thread_time()
    assert len(dialects.find(api).parse(body).messages) == 1_000
    return thread_time() - start


@pytest.mark.parametrize(
    "api", ["bedrock.converse", "bedrock.invoke", "cohere.chat", "ollama.chat"]
)
def test_a_thousand_messages_are_read_in_time(api):
    """Reading a thousand messages takes at most a few times what OpenAI's form takes, in one run."""
    plain = {"messages": [{"role": "user", "content": "The tide is high."}] * 1_000}
    content = [{"text": "The tide is high."}] if api.startswith("bedrock") else "The tide is high."
    body = {"messages": [{"role": "user", "content": content}] * 1_000}
    ratios = [reading(api, body) / reading("openai.chat", plain) for _ in range(7)]
    assert min(ratios) < 5
