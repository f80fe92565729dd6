"""Options shared by several commands, and the mixture that they describe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moa_graph.cli.complete import mixture_files, models, presets
from moa_graph.cli.output.messages import message
from moa_graph.errors import ConfigError, InputError
from moa_graph.mixture.own_presets import resolve

if TYPE_CHECKING:
    from moa_graph.mixture.mixture import Mixture


def _filled(param: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse an empty value, which an unset variable of the shell leaves; it would count as no option."""
    if value is not None and not value.strip():
        raise InputError(f"{param.opts[0]}: the value is empty. Give one, or remove the option.")
    return value


Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        metavar="NAME",
        help="A preset; `moa presets list` lists them.",
        autocompletion=presets,
        callback=_filled,
    ),
]
File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        "--mixture",
        metavar="FILE",
        help="Your own mixture: YAML or TOML.",
        autocompletion=mixture_files,
    ),
]
Continue = Annotated[bool, typer.Option("--continue", "-c", help="Continue the last conversation of the log.")]
Proposers = Annotated[
    list[str] | None,
    typer.Option(
        "--proposer",
        metavar="MODEL",
        help='A model that drafts, as "provider:model"; repeatable.',
        autocompletion=models,
    ),
]
Aggregator = Annotated[
    str | None,
    typer.Option(
        "--aggregator",
        metavar="MODEL",
        help="The model that synthesizes (default: the first proposer).",
        autocompletion=models,
        callback=_filled,
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="The server of --proposer and --aggregator, including its version path.",
        callback=_filled,
    ),
]
KeyEnv = Annotated[
    str | None,
    typer.Option(
        "--api-key-env",
        metavar="VARIABLE",
        help="The environment variable that holds the key of --base-url.",
        callback=_filled,
    ),
]
Layers = Annotated[
    int | None, typer.Option("--layers", metavar="NUMBER", help="Number of layers, including the aggregator's.")
]
System = Annotated[str | None, typer.Option("--system", "-s", metavar="TEXT", help="A system prompt for every model.")]
Temperature = Annotated[
    float | None, typer.Option("--temperature", metavar="NUMBER", help="Sampling temperature of every call, 0 to 2.")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", metavar="NUMBER", help="Maximum answer length of every call, in tokens.")
]
Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="An Agent Server whose mixture answers.", callback=_filled)
]
ServerGraph = Annotated[
    str | None,
    typer.Option("--graph", metavar="NAME", help="With --url: the name of the server's graph (default: moa)."),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Allow the mixture file to send the variables it names to its hosts, and to run its check, for this run.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Raw = Annotated[bool, typer.Option("--raw", help="Print the answer without rendering its Markdown.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress on standard error.")]


def chosen(
    preset: str | None = None,
    file: Path | None = None,
    proposers: list[str] | None = None,
    aggregator: str | None = None,
    system: str | None = None,
    *,
    base_url: str | None = None,
    api_key_env: str | None = None,
    trust: bool = False,
) -> Mixture:
    """Return the mixture that the options describe. A default choice is reported on standard error.

    Raises:
        InputError: Options contradict each other.
        ConfigError: A preset is unknown, or a file is not a mixture.
    """
    from moa_graph.mixture.mixture import Mixture

    fields: dict[str, Any] = {} if system is None else {"system": system}
    if sum(map(bool, (preset, file, proposers))) > 1:
        raise InputError("--preset, --file and --proposer each define a whole mixture: use only one of them.")
    if api_key_env and not base_url:
        raise InputError("--api-key-env needs --base-url: it names the key of that server.")
    if base_url and not (proposers or aggregator):
        raise InputError("--base-url needs --proposer (and --aggregator): it is the server of those models.")
    server = {"base_url": base_url, **({"api_key_env": api_key_env} if api_key_env else {})} if base_url else {}

    def model(name: str) -> Any:
        # Embedded models do not use a server.
        return {"model": name, **server} if server and not name.startswith("local:") else name

    if aggregator:
        fields["aggregator"] = model(aggregator)
    if proposers:
        whole = {"proposers": list(map(model, proposers)), "aggregator": model(proposers[0]), **fields}
        try:
            return Mixture(**whole)
        except ConfigError as exc:
            raise _of_options(exc, proposers, aggregator) from exc
    if file is not None and file.suffix.lower() not in {".yaml", ".yml", ".toml"}:
        # Always a path: a name without an ending would be looked up as a preset.
        raise InputError(f"--file {file}: a mixture file must end in .yaml, .yml or .toml.")
    named = file if file is not None or not preset else resolve(preset)
    source = named if named is not None else default_preset()
    try:
        return Mixture.load(source, trust=trust, **fields)
    except ConfigError as exc:
        if not aggregator:
            raise
        raise _of_options(exc, [], aggregator) from exc


def _of_options(error: ConfigError, proposers: list[str], aggregator: str | None) -> ConfigError:
    """Return the error of a mixture that options describe, in the options' names and once for each reason."""
    described = ("proposers", "aggregator") if proposers else ("aggregator",)

    def option(path: tuple[str | int, ...]) -> str:
        if name := {"base_url": "--base-url", "api_key_env": "--api-key-env"}.get(str(path[-1])):
            return name
        if path[0] == "aggregator" and aggregator:
            return f"--aggregator {aggregator}"
        place = path[1] if path[0] == "proposers" and len(path) > 1 else 0
        return f"--proposer {proposers[int(place)]}"

    known = [(path, text) for path, text in error.problems if path[0] in described]
    if not known or len(known) != len(error.problems):
        return error
    texts = list(dict.fromkeys(f"{option(path)}: {text}" for path, text in known))
    return ConfigError(texts[0] if len(texts) == 1 else "\n  ".join([f"{len(texts)} problems.", *texts]))


def examples(*lines: str) -> str:
    """Return the examples at the end of a command's help, one per line."""
    return "Examples:\n\n" + "\n\n".join(lines)


def default_preset() -> str | Path:
    """Return the default mixture, and print the reason for it to standard error."""
    from moa_graph.models.default_mixture import default_mixture

    name, why = default_mixture()
    if why:
        message(f"preset `{name}`: {why}; --preset chooses another")
    return name
