"""The demo's box on real models: what the tests with fakes prove holds for llama.cpp too."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import psutil
import pytest

from covend.config import load
from covend.demo.box import DemoBox, kill
from covend.runtime import ActorError
from covend.testing import eventually, free_port

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("box")]

DEMO = Path(__file__).parents[2] / "configs" / "demo.toml"
KINETIC, TITAN, EMBEDDER, LEXICON = "chatter", "thinker", "embedder", "lexicon"
TOKENS = 48


def small_demo(folder):
    """The demo's box file on free ports, its models with little context."""
    text = DEMO.read_text()
    for address in sorted(set(re.findall(r"127\.0\.0\.1:\d+", text))):
        text = text.replace(address, f"127.0.0.1:{free_port()}")
    config = folder / "demo.toml"
    # One thread each: two of one model wait for each other wherever a core is somebody else's.
    config.write_text(re.sub(r'"--ctx", "\d+"', '"--ctx", "256", "--threads", "1"', text))
    return config


@pytest.fixture
def box(tmp_path):
    """A running box; once it is stopped none of its soulstones is left."""
    config = small_demo(tmp_path)
    with DemoBox(config) as box:
        yield box
        pids = [pid for pid in stones(box).values() if pid]
        assert pids
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []


@pytest.fixture
def client(box):
    """The official client on the box's gate; it never tries anything twice."""
    url = f"http://{load(box.config).listen}/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
        yield client


def test_two_models_that_do_not_fit_together_both_answer_beside_the_lexicon(box, client):
    """W3, W5, G3: one swap under requests; whoever waits for it is answered whole."""
    with ThreadPoolExecutor(4) as pool:
        kinetic = pool.submit(chat, client, KINETIC, 8)
        titan = pool.submit(chat, client, TITAN, 8)
        lexicon = pool.submit(chat, client, LEXICON, 4)
        embeds = pool.submit(
            client.embeddings.create,
            model=EMBEDDER,
            input=["a box of models", "a box of actors"],
            encoding_format="float",
        )
        assert whole(kinetic.result()) == 8
        assert whole(titan.result()) == 8
        assert whole(lexicon.result()) == 4
        first, second = (item.embedding for item in embeds.result().data)
    assert len(first) == len(second) > 100
    assert first != second


def test_a_stream_outlives_the_core_and_the_new_core_adopts_its_soulstone(box, client):
    """W8, W25: no token is lost across ``kill -9`` of the core, and no model loaded anew."""
    stream = client.chat.completions.create(**question(KINETIC, TOKENS), stream=True, logprobs=True)
    pieces, text, finish = [], "", None
    old = stone = None
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            if choice.logprobs:
                pieces += [token.token for token in choice.logprobs.content]
        if old is None and len(pieces) >= 3:
            old, stone = box.pid_of("core"), stones(box)[KINETIC]
            kill(old)
            killed_at = len(pieces)
    assert finish == "length"
    assert (len(pieces), "".join(pieces)) == (TOKENS, text)
    assert killed_at < TOKENS

    eventually(lambda: stones(box).get(KINETIC) == stone, 20, "the new core knows the soulstone")
    assert box.pid_of("core") != old
    assert whole(chat(client, KINETIC, 4)) == 4
    assert stones(box)[KINETIC] == stone


def question(model, tokens):
    """A chat request whose answer has exactly so many tokens."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": "Tell a long story about a lighthouse."}],
        "max_tokens": tokens,
        "temperature": 0.0,
        "extra_body": {"ignore_eos": True},
    }


def chat(client, model, tokens):
    return client.chat.completions.create(**question(model, tokens))


def whole(answer):
    """The number of tokens of an answer that says why it ends."""
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content.strip()
    return answer.usage.completion_tokens


def stones(box):
    """Every soulstone's pid as the core sees it; empty while the core is away."""
    try:
        covens = box.status()["covens"]
    except (ActorError, OSError):
        return {}
    return {stone["name"]: stone["pid"] for coven in covens for stone in coven["soulstones"]}
