"""`moa trust`: confirm the hosts to which a mixture file may send keys, and the programs that it may run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moa_graph.cli.output.messages import message, output
from moa_graph.errors import InputError
from moa_graph.mixture.confirmations import trust_file
from moa_graph.models.terminal_text import in_full

if TYPE_CHECKING:
    from moa_graph.models.secrets.trust import Grant

app = typer.Typer(add_completion=False)

Path_ = Annotated[Path | None, typer.Argument(metavar="FILE", help="A mixture file, or a pool of `moa tune`.")]
Host = Annotated[str | None, typer.Option("--host", help="Instead of FILE: a host (https://name:port), for any file.")]
Variable = Annotated[
    str | None, typer.Option("--variable", help="With --host: the variable that the host may receive.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation on a terminal.")]
Forget = Annotated[bool, typer.Option("--forget", help="Revoke the confirmation of FILE, or of --host and --variable.")]


@app.command()
def trust(
    file: Path_ = None, host: Host = None, variable: Variable = None, yes: Yes = False, forget: Forget = False
) -> None:
    """Allow a mixture file to send the variables that it names to the hosts that it names, and to run its check.

    A mixture file may send a known provider's key to that provider. Everything else, and the program of a `verify`
    check, needs this confirmation, once. It is valid until the file names another variable, host or program.
    """
    from moa_graph.models.secrets import trust as store

    if (file is None) == (host is None) or (host is None) != (variable is None):
        raise InputError("a mixture file is needed, or --host with --variable.")
    if variable is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise InputError("--variable: expected the name of an environment variable (letters, digits and _).")
    one = None if file else store.Grant(variable or "", _checked(host or ""))
    if forget:
        message("revoked" if store.forget(file, one) else "there was no confirmation")
        return
    grants, programs = _of_file(file) if file else ([one] if one else [], [])
    for grant in grants:
        output(f"{grant}")
    for program in programs:
        output(f"runs {in_full(program)}")
    if not grants and not programs:
        message(f"{file} sends no variable and runs no program, so it needs no confirmation")
        return
    if sys.stdin.isatty() and not yes and not typer.confirm("Confirm?", err=True):
        raise typer.Abort
    store.confirm(file, grants, programs)
    message(f"confirmed in {trust_file()}")


def _of_file(file: Path) -> tuple[list[Grant], list[str]]:
    """Return what a mixture or a pool file sends, and the programs that its checks run."""
    from moa_graph.mixture.combiners.checks import CommandCheck
    from moa_graph.mixture.files import is_preset, read
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.models.secrets.trust import grants_of

    if is_preset(file):
        raise InputError(f"{file}: a mixture file must end in .yaml, .yml or .toml.")
    if "models" in read(file):
        from moa_graph.evals.tune.pool import Pool

        pool = Pool.load(file, trust=True)
        specs, checks = [*pool.models, *pool.aggregators], [pool.verify]
    else:
        # Loading it runs nothing and sends nothing.
        mixture = Mixture.load(file, trust=True)
        specs, checks = list(mixture.specs), [getattr(each, "check", None) for each in mixture.choices.values()]
    return grants_of(specs), [check.program for check in checks if isinstance(check, CommandCheck)]


def _checked(host: str) -> str:
    from moa_graph.mixture.addresses import is_address
    from moa_graph.models.secrets.trust import host_of

    if not is_address(host):
        raise InputError(f"--host {host}: expected an address of the form http(s)://host:port in ASCII.")
    return host_of(host)
