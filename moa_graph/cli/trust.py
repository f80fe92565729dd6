"""`moa trust`: confirm the hosts to which a mixture file may send keys."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moa_graph.cli.output.messages import message, output
from moa_graph.errors import InputError

if TYPE_CHECKING:
    from moa_graph.models.secrets.trust import Grant

app = typer.Typer(add_completion=False)

Path_ = Annotated[Path | None, typer.Argument(metavar="FILE", help="The mixture file.")]
Host = Annotated[str | None, typer.Option("--host", help="Instead of FILE: a host (https://name:port), for any file.")]
Variable = Annotated[
    str | None, typer.Option("--variable", help="With --host: the variable that the host may receive.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation on a terminal.")]
Forget = Annotated[bool, typer.Option("--forget", help="Revoke the confirmation of FILE.")]


@app.command()
def trust(
    file: Path_ = None, host: Host = None, variable: Variable = None, yes: Yes = False, forget: Forget = False
) -> None:
    """Allow a mixture file to send the variables that it names to the hosts that it names.

    A mixture file may send a known provider's key to that provider. Everything else needs this confirmation, once. It
    is valid until the file names another variable or host.
    """
    from moa_graph.models.secrets import trust as store

    if (file is None) == (host is None) or (host is None) != (variable is None):
        raise InputError("a mixture file is needed, or --host with --variable.")
    if variable is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise InputError("--variable: expected the name of an environment variable (letters, digits and _).")
    if forget:
        found = store.forget(file)
        message("revoked" if found else "there was no confirmation")
        return
    grants = _of_file(file) if file else [store.Grant(variable or "", _checked(host or ""))]
    for grant in grants:
        output(f"{grant}")
    if not grants:
        message(f"{file} sends no variable, so it needs no confirmation")
        return
    if sys.stdin.isatty() and not yes and not typer.confirm("Confirm?", err=True):
        raise typer.Abort
    store.confirm(file, grants)
    message(f"confirmed in {store.trust_file()}")


def _of_file(file: Path) -> list[Grant]:
    from moa_graph.mixture.files import is_preset
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.models.secrets.trust import grants_of

    if is_preset(file):
        raise InputError(f"{file}: a mixture file must end in .yaml, .yml or .toml.")
    return grants_of(Mixture.load(file).specs)


def _checked(host: str) -> str:
    from moa_graph.mixture.addresses import is_address
    from moa_graph.models.secrets.trust import host_of

    if not is_address(host):
        raise InputError(f"--host {host}: expected an address of the form http(s)://host:port in ASCII.")
    return host_of(host)
