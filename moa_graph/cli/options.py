"""Options that several commands share, and the mixture they add up to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moa_graph.errors import InputError

if TYPE_CHECKING:
    from moa_graph.mixture.mixture import Mixture

Preset = Annotated[str | None, typer.Option("--preset", "-p", help="A mixture that comes with the package.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="A mixture of your own: YAML or TOML.")]
Proposers = Annotated[
    list[str] | None, typer.Option("--proposer", help='A model that drafts, as "provider:model"; repeat it.')
]
Aggregator = Annotated[
    str | None, typer.Option("--aggregator", help="The model that synthesizes; without it the first proposer.")
]
Layers = Annotated[int | None, typer.Option("--layers", help="Layers, the aggregator's own included.")]
System = Annotated[str | None, typer.Option("--system", "-s", help="A system prompt for every model.")]
Url = Annotated[str | None, typer.Option("--url", help="An Agent Server, whose mixture answers.")]
ServerGraph = Annotated[str, typer.Option("--graph", help="The server's graph.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Let the mixture file send the variables it names to its hosts, this once.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def chosen(
    preset: str | None = None,
    file: Path | None = None,
    proposers: list[str] | None = None,
    aggregator: str | None = None,
    system: str | None = None,
    *,
    trust: bool = False,
) -> Mixture:
    """The mixture that the options describe; says on standard error what it picked by itself.

    Raises:
        InputError: options that contradict each other.
        ConfigError: an unknown preset, or a file that is no mixture.
    """
    from moa_graph.mixture.mixture import Mixture

    fields: dict[str, Any] = {} if system is None else {"system": system}
    if sum(map(bool, (preset, file, proposers))) > 1:
        raise InputError("--preset, --file and --proposer each name a whole mixture: give one of them.")
    if aggregator:
        fields["aggregator"] = aggregator
    if proposers:
        return Mixture(**{"proposers": list(proposers), "aggregator": proposers[0], **fields})
    if file is not None:
        # A path always, also one without an ending that a preset's name could be mistaken for.
        if file.suffix.lower() not in {".yaml", ".yml", ".toml"}:
            raise InputError(f"--file {file}: a mixture file ends in .yaml, .yml or .toml.")
        return Mixture.load(file, trust=trust, **fields)
    return Mixture.load(preset or _picked(), trust=trust, **fields)


def _picked() -> str:
    from moa_graph.models.default_mixture import default_mixture

    name, why = default_mixture()
    if why:
        typer.echo(f"preset `{name}`: {why}; --preset chooses another", err=True)
    return name
