"""A mixture as the editor's form describes it: read, checked, estimated and written as YAML.

The form cannot name a host, a key variable, parameters of a provider, or a command. These come from mixtures that are
served: the form refers to such a mixture (`base`) or to one of its models (`like`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from langchain_core.messages import HumanMessage

from moa_graph.costs.budget import estimate
from moa_graph.errors import ConfigError, InputError, MoAError
from moa_graph.mixture.context import MoAContext, settings
from moa_graph.mixture.files import preset_names
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models.providers import find
from moa_graph.models.registry import chat_model, missing_extra, require_embedded, require_known
from moa_graph.models.secrets.keys import require_keys

__all__ = ["FIELDS", "MODEL_FIELDS", "EditedMixture", "form_of", "read_form", "summary", "usable_models"]

FIELDS = (
    "name", "description", "layers", "prompt", "system", "deadline", "run_deadline", "quorum", "grace", "min_drafts",
    "max_cost", "max_calls",
)  # fmt: skip
"""The fields of a mixture that the form has, besides its models and its combiner."""
MODEL_FIELDS = ("name", "system", "temperature", "max_tokens", "samples")
"""The fields of a model that the form has, besides the model itself."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_QUESTION = "What is the capital of France?"


class EditedMixture(NamedTuple):
    """What the editor shows of a form.

    Attributes:
        mixture: The mixture; None when there are problems.
        fields: Its fields as a mixture file has them.
        problems: What is wrong, each with its place in the form: `proposers.0`, `aggregator`, or "" for the whole.
    """

    mixture: Mixture | None
    fields: dict[str, Any]
    problems: list[dict[str, str]]


def read_form(form: Mapping[str, Any], served: Mapping[str, Mixture]) -> EditedMixture:
    """Read a form. Reads `.env` and the file system.

    Args:
        form: The form's fields.
        served: The mixtures that `base` and `like` may refer to.

    Raises:
        InputError: The form has an unknown field, or refers to what is not served.
    """
    _refuse_unknown(form, (*FIELDS, "base", "combine", "proposers", "aggregator"), "the form")
    base = _base(form, served)
    fields = {**base, **_given(form, FIELDS)}
    for name in FIELDS:
        if name not in form or form[name] in (None, ""):
            fields.pop(name, None)
    combine = form.get("combine") or "synthesize"
    if not isinstance(combine, str):
        raise InputError("combine: give the name of a combiner.")
    same = isinstance(base.get("combine"), dict) and base["combine"].get("name") == combine
    fields["combine"] = base["combine"] if same else combine
    problems: list[dict[str, str]] = []
    rows = form.get("proposers")
    if not isinstance(rows, list):
        raise InputError("proposers: give a list of models.")
    fields["proposers"] = [_model(row, served, f"proposers.{n}", problems) for n, row in enumerate(rows)]
    fields["aggregator"] = _model(form.get("aggregator"), served, "aggregator", problems)
    if not _NAME.fullmatch(str(fields.get("name", "mine"))):
        problems.append({"where": "", "text": "name: use at most 64 letters, digits, dots, - and _."})
    if problems:
        return EditedMixture(None, fields, problems)
    try:
        mixture = Mixture(**fields)
        require_keys(mixture.specs)
        require_embedded(filter(is_embedded, mixture.specs))
    except MoAError as exc:
        return EditedMixture(None, fields, [{"where": "", "text": str(exc)}])
    return EditedMixture(mixture, fields, [])


def summary(mixture: Mixture) -> dict[str, Any]:
    """Return the calls of one question and their expected cost. Reads the price list."""
    expected = estimate(settings(mixture, MoAContext()), [HumanMessage(_QUESTION)])
    return {
        "calls": expected.calls,
        "least": mixture.calls(least=True),
        "tokens": expected.input_tokens + expected.output_tokens,
        "money": expected.money,
    }


def form_of(name: str, mixture: Mixture) -> dict[str, Any]:
    """Return the form of a served mixture; its models refer to the mixture's own."""
    form = {field: getattr(mixture, field) for field in FIELDS if field in mixture.model_fields_set}
    rows = [_row(spec, f"{name}/{n}") for n, spec in enumerate(mixture.proposers)]
    return {
        **form,
        "name": mixture.name or name,
        "base": name,
        "layers": mixture.layers,
        "combine": mixture.combine.name,
        "proposers": rows,
        "aggregator": _row(mixture.aggregator, f"{name}/aggregator"),
    }


def usable_models() -> list[str]:
    """Return the models of all presets that the keys and packages at hand allow. Reads files."""
    specs = [spec for name in preset_names() for spec in Mixture.load(name).specs if not spec.base_url]
    return sorted({spec.label for spec in specs if _usable(spec)})


def _usable(spec: Proposer) -> bool:
    if missing_extra(spec):
        return False
    try:
        require_known(spec)
        require_keys([spec])
        require_embedded([spec] if is_embedded(spec) else [])
    except ConfigError:
        return False
    return True


def _row(spec: Proposer, place: str) -> dict[str, Any]:
    given = {field: getattr(spec, field) for field in MODEL_FIELDS if field in spec.model_fields_set}
    # What the form cannot say itself is taken over from the mixture that is served.
    whole = spec.model_fields_set <= {"model", *MODEL_FIELDS}
    return {**given, "model": spec.label, **({} if whole else {"like": place})}


def _base(form: Mapping[str, Any], served: Mapping[str, Mixture]) -> dict[str, Any]:
    name = form.get("base")
    if not name:
        return {}
    if not isinstance(name, str) or name not in served:
        raise InputError(f"base: {name!r} is not served. Start from another mixture.")
    kept = set(served[name].model_fields_set) - {"proposers", "aggregator", "rounds", "date", "source", "note", *FIELDS}
    return served[name].model_dump(mode="json", include=kept, exclude_unset=True)


def _model(row: Any, served: Mapping[str, Mixture], where: str, problems: list[dict[str, str]]) -> dict[str, Any]:
    """Return a model's fields; what is wrong with it is added to `problems`."""
    if not isinstance(row, Mapping):
        raise InputError(f"{where}: give a model.")
    _refuse_unknown(row, (*MODEL_FIELDS, "model", "like"), where)
    like = _like(row.get("like"), served, where)
    fields = {**like, "model": row.get("model") or like.get("model") or "", **_given(row, MODEL_FIELDS)}
    if not fields["model"]:
        problems.append({"where": where, "text": "Choose a model."})
        return fields
    try:
        spec = Proposer(**fields)
        require_known(spec)
        if not spec.base_url and not is_embedded(spec) and find(spec.label.partition(":")[0]) is None:
            # Only LangChain knows these providers, and says so when a model is made.
            asyncio.run(_made(spec))
    except ConfigError as exc:
        problems.append({"where": where, "text": str(exc)})
    return fields


async def _made(spec: Proposer) -> None:
    chat_model(spec)


def _like(place: Any, served: Mapping[str, Mixture], where: str) -> dict[str, Any]:
    """Return the fields of a served model that the form cannot say."""
    if not place:
        return {}
    name, _, slot = str(place).rpartition("/")
    mixture = served.get(name)
    found: Proposer | None = None
    if mixture and slot == "aggregator":
        found = mixture.aggregator
    elif mixture and slot.isdecimal() and int(slot) < len(mixture.proposers):
        found = mixture.proposers[int(slot)]
    if found is None:
        raise InputError(f"{where}: {place!r} is not a model of a mixture that is served.")
    return found.model_dump(mode="json", exclude_unset=True, exclude=set(MODEL_FIELDS))


def _given(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if values.get(name) not in (None, "")}


def _refuse_unknown(values: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    if unknown := next((name for name in values if name not in known), None):
        raise InputError(f"{what} has no field {unknown!r}. Fields: {', '.join(known)}.")
