"""What an answer amounts to, in the words of several providers."""

import pytest
from langchain_core.messages import AIMessage

from moa_graph.models.answer import broken, judge


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"finish_reason": "stop"}, "ok"),
        ({"finish_reason": "length"}, "truncated"),
        ({"stop_reason": "max_tokens"}, "truncated"),
        ({"stopReason": "max_tokens"}, "truncated"),
        ({"stopReason": "content_filtered"}, "filtered"),
        ({"stopReason": "guardrail_intervened"}, "filtered"),
        ({"done_reason": "length"}, "truncated"),
        ({"status": "completed"}, "ok"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "truncated"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "filtered"),
        ({"status": "incomplete"}, "truncated"),
    ],
)
def test_every_providers_word_for_why_it_stopped(given: dict[str, object], status: str) -> None:
    assert judge(AIMessage("Half an", response_metadata=given))[0] == status


@pytest.mark.parametrize(
    ("given", "ended"),
    [
        ({"finish_reason": "stop"}, True),
        ({"status": "completed"}, True),
        ({"status": "incomplete"}, True),
        ({"status": "in_progress"}, False),
        ({"status": "failed"}, False),
        ({}, False),
    ],
)
def test_an_answer_without_an_end_is_broken(given: dict[str, object], ended: bool) -> None:
    message = AIMessage("Half an", response_metadata={"model_provider": "openai", **given})
    assert broken(message) is not ended
