"""Replies of Anthropic and Gemini without the finish reason that their protocols promise: cut, or blocked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from moa_graph import MoAContext, create_moa
from tests.fakes import fake
from tests.ruled_api import RuledApi

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # Google's


class Api(RuledApi):
    """Streams "half a sentence", and its end if `whole`."""

    whole = True
    blocked: dict[str, Any] | None = None

    def broken(self, body: dict[str, Any]) -> str:
        return ""

    def model(self) -> Any:
        """Return a chat model that sends its requests here."""
        raise NotImplementedError


class Anthropic(Api):
    def model(self) -> Any:
        anthropic = pytest.importorskip("langchain_anthropic")
        return anthropic.ChatAnthropic(model_name="m", api_key="none", base_url=self.url, max_retries=0)

    def answer(self, body: dict[str, Any], path: str) -> Any:
        message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
        usage = {"input_tokens": 5, "output_tokens": 5}
        text = {"type": "text_delta", "text": "half a sentence"}
        begun = [
            {"type": "message_start", "message": {**message, "stop_sequence": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": text},
        ]
        end = [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        return begun + (end if self.whole else [])


class Gemini(Api):
    def model(self) -> Any:
        google = pytest.importorskip("langchain_google_genai")
        return google.ChatGoogleGenerativeAI(model="m", google_api_key="none", base_url=self.url, max_retries=1)

    def answer(self, body: dict[str, Any], path: str) -> Any:
        if self.blocked is not None:
            refusal = {"promptFeedback": self.blocked}
            return [refusal] if "stream" in path else refusal
        content = {"role": "model", "parts": [{"text": "half a sentence"}]}
        end = {"finishReason": "STOP"} if self.whole else {}
        return [{"candidates": [{"content": content, "index": 0, **end}], "modelVersion": "m"}]


@pytest.fixture(params=[Anthropic, Gemini])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    with request.param().running() as server:
        yield server


@pytest.mark.parametrize("whole", [True, False])
async def test_a_cut_stream_is_not_an_answer(api: Api, whole: bool) -> None:
    api.whole = whole
    graph = create_moa(
        proposers=[{"model": api.model(), "name": "first"}, fake("second")], aggregator=fake("agg"), max_attempts=1
    )
    context = MoAContext(stream_drafts=True)
    done: Any = None
    async for state in graph.astream({"messages": "q"}, context=context, stream_mode="values"):
        done = state
    first = done["drafts"][0]
    assert (first["status"], first["text"]) == ("ok" if whole else "failed", "half a sentence")
    assert first["error"] == (None if whole else "the stream ended before the answer did")


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("feedback", "words"),
    [
        ({"blockReason": "OTHER"}, "prompt blocked: OTHER"),
        (
            {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "not here"},
            "prompt blocked: PROHIBITED_CONTENT, not here",
        ),
    ],
)
async def test_a_prompt_that_gemini_blocks_is_filtered(streamed: bool, feedback: dict[str, Any], words: str) -> None:
    """It has no candidates and so no finish reason: it was taken for a cut stream, and asked again."""
    with Gemini().running() as api:
        api.blocked = feedback
        graph = create_moa(proposers=[{"model": api.model(), "name": "first"}, fake("second")], aggregator=fake("agg"))
        done = await graph.ainvoke({"messages": "q"}, context=MoAContext(stream_drafts=streamed))
    first = done["drafts"][0]
    assert (first["status"], first["text"], first["attempts"]) == ("filtered", "", 1)
    assert first["error"] == f"the provider's content filter stopped the answer ({words})"
