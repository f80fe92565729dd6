"""Refused values get their reason in plain words, whatever pydantic calls it."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moa_graph.state.wording import merged


class Fields(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    whole: int = Field(default=1, ge=1, le=9)
    part: float = Field(default=0.5, gt=0)
    text: str = Field(default="a", min_length=1)
    many: list[int] = Field(default=[1], min_length=1, max_length=2)
    named: dict[str, int] = Field(default_factory=dict)
    form: Literal["paper", "fenced"] = "paper"
    either: Annotated[int, Field(ge=1)] | list[int] = 1
    address: str = Field(default="http://a", pattern=r"^https?://\S+$")


@pytest.mark.parametrize(
    ("given", "place", "reason"),
    [
        ({"whole": "a"}, "whole", "must be a whole number"),
        ({"whole": 0}, "whole", "must be 1 or more"),
        ({"whole": 10}, "whole", "must be 9 or less"),
        ({"part": 0.0}, "part", "must be greater than 0"),
        ({"text": 5}, "text", "must be text"),
        ({"text": ""}, "text", "must have 1 or more characters"),
        ({"many": []}, "many", "must have 1 or more entries"),
        ({"many": [1, 2, 3]}, "many", "must have 2 entries or fewer"),
        ({"many": [1, "x"]}, "many.1", "must be a whole number"),
        ({"named": [1]}, "named", "must be an object of named fields"),
        ({"form": "nice"}, "form", "must be 'paper' or 'fenced'"),
        ({"either": "x"}, "either", "must be a whole number or must be a list"),
        ({"address": "nope"}, "address", "must start with http:// or https://, without spaces or @"),
        ({"other": 1}, "other", "there is no such field"),
    ],
)
def test_the_reason_is_plain(given: dict[str, Any], place: str, reason: str) -> None:
    with pytest.raises(ValidationError) as error:
        Fields(**given)
    found = merged(error.value.errors(include_url=False))
    assert [(".".join(map(str, where)), why) for where, why, _ in found] == [(place, reason)]
