"""Options that several commands share, and the mixture they add up to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moa_graph.cli.complete import mixture_files, models, presets
from moa_graph.cli.home import resolve
from moa_graph.errors import InputError

if TYPE_CHECKING:
    from moa_graph.mixture.mixture import Mixture

Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", "-p", metavar="NAME", help="A mixture by name: `moa presets list`.", autocompletion=presets
    ),
]
File = Annotated[
    Path | None,
    typer.Option(
        "--file", "-f", metavar="FILE", help="A mixture of your own: YAML or TOML.", autocompletion=mixture_files
    ),
]
Proposers = Annotated[
    list[str] | None,
    typer.Option(
        "--proposer",
        metavar="MODEL",
        help='A model that drafts, as "provider:model"; repeat it.',
        autocompletion=models,
    ),
]
Aggregator = Annotated[
    str | None,
    typer.Option(
        "--aggregator",
        metavar="MODEL",
        help="The model that synthesizes; without it the first proposer.",
        autocompletion=models,
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="The server of --proposer and --aggregator, with its version path."),
]
KeyEnv = Annotated[
    str | None,
    typer.Option("--api-key-env", metavar="VARIABLE", help="The environment variable with the key of --base-url."),
]
Layers = Annotated[
    int | None, typer.Option("--layers", metavar="NUMBER", help="Layers, the aggregator's own included.")
]
System = Annotated[str | None, typer.Option("--system", "-s", metavar="TEXT", help="A system prompt for every model.")]
Temperature = Annotated[
    float | None, typer.Option("--temperature", metavar="NUMBER", help="Sampling temperature of every call, 0 to 2.")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", metavar="NUMBER", help="Longest answer of every call, in tokens.")
]
Url = Annotated[str | None, typer.Option("--url", metavar="URL", help="An Agent Server, whose mixture answers.")]
ServerGraph = Annotated[str, typer.Option("--graph", metavar="NAME", help="The server's graph.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Let the mixture file send the variables it names to its hosts, this once.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Raw = Annotated[bool, typer.Option("--raw", help="Write the answer as the model did; render no Markdown.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]


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
    """Return the mixture that the options describe; say on standard error what was picked by itself.

    Raises:
        InputError: options that contradict each other.
        ConfigError: an unknown preset, or a file that is not a mixture.
    """
    from moa_graph.mixture.mixture import Mixture

    fields: dict[str, Any] = {} if system is None else {"system": system}
    if sum(map(bool, (preset, file, proposers))) > 1:
        raise InputError("--preset, --file and --proposer each name a whole mixture: give one of them.")
    if api_key_env and not base_url:
        raise InputError("--api-key-env goes with --base-url: it names the key of that server.")
    if base_url and not (proposers or aggregator):
        raise InputError("--base-url goes with --proposer (and --aggregator): it is the server of those models.")
    server = {"base_url": base_url, **({"api_key_env": api_key_env} if api_key_env else {})} if base_url else {}

    def model(name: str) -> Any:
        # Embedded models have no server.
        return {"model": name, **server} if server and not name.startswith("local:") else name

    if aggregator:
        fields["aggregator"] = model(aggregator)
    if proposers:
        return Mixture(**{"proposers": list(map(model, proposers)), "aggregator": model(proposers[0]), **fields})
    if file is not None:
        # A path always, also one without an ending that a preset's name could be mistaken for.
        if file.suffix.lower() not in {".yaml", ".yml", ".toml"}:
            raise InputError(f"--file {file}: a mixture file ends in .yaml, .yml or .toml.")
        return Mixture.load(file, trust=trust, **fields)
    return Mixture.load(resolve(preset or picked()), trust=trust, **fields)


def examples(*lines: str) -> str:
    """Return the end of a command's help: its examples, one a line."""
    return "Examples:\n\n" + "\n\n".join(lines)


def picked() -> str:
    """Return the preset that is used when nobody names one, and say on standard error why."""
    from moa_graph.models.default_mixture import default_mixture

    name, why = default_mixture()
    if why:
        typer.echo(f"preset `{name}`: {why}; --preset chooses another", err=True)
    return name
