"""What traces show of a model's settings, computed once for a model whose settings nobody changes."""

from typing import Any

import pytest

from moa_graph.models.openai_http import chat_openai
from moa_graph.models.secrets.redacting import redacting


@pytest.mark.parametrize("arguments", [{}, {"prompt_cache_key": "k"}, {"stop": ["end"]}, {"temperature": 0.1}])
def test_settings_in_traces_are_those_of_the_model(arguments: dict[str, Any]) -> None:
    model: Any = chat_openai(model="m", base_url="http://127.0.0.1:9/v1", api_key="k", temperature=0.7, max_tokens=5)
    kept: Any = redacting(model, fixed=True)
    for _ in range(2):
        assert kept._get_invocation_params(**arguments) == model._get_invocation_params(**arguments)
        assert kept._get_ls_params(**arguments) == model._get_ls_params(**arguments)


def test_changed_settings_of_a_callers_model_are_shown() -> None:
    model: Any = chat_openai(model="m", base_url="http://127.0.0.1:9/v1", api_key="k", temperature=0.7)
    wrapped: Any = redacting(model)
    assert wrapped._get_ls_params()["ls_temperature"] == 0.7
    model.temperature = 0.2
    assert wrapped._get_ls_params()["ls_temperature"] == 0.2
    assert wrapped._get_invocation_params()["temperature"] == 0.2
