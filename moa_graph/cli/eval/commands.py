"""`moa eval`: benchmarks, own prompts, judges, comparisons. Every command imports its modules when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moa_graph.cli.eval import options as o

app = typer.Typer(
    help="Benchmark mixtures and judges: published benchmarks and your own prompts.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command()
@o.with_choice()
def alpaca(
    choice: o.Choice,
    annotations: Annotated[
        Path | None, typer.Option(help="Score recorded annotations (JSON, also .gz); generate and judge nothing.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Use these reference outputs instead of the published ones, with their prompts.")
    ] = None,
    both_orders: Annotated[bool, typer.Option("--both-orders", help="Judge every pair in both orders.")] = False,
    canary: Annotated[
        bool, typer.Option("--canary", help="Also judge a constant answer, to test whether the judge can be misled.")
    ] = False,
) -> None:
    """Run AlpacaEval 2: win rate and length-controlled win rate against reference outputs."""
    if annotations:
        from moa_graph.cli.eval.recorded import alpaca_annotations

        alpaca_annotations(annotations, intervals=choice.intervals, as_json=choice.as_json)
        return
    from moa_graph.cli.eval.run import start
    from moa_graph.evals import benchmarks

    start(
        "alpaca",
        choice,
        lambda setup: benchmarks.alpaca(setup, reference=reference, both_orders=both_orders, canary=canary),
    )


@app.command("mt-bench")
@o.with_choice("temperature", "intervals")  # FastChat sets a temperature per category
def mt_bench(
    choice: o.Choice,
    judgments: Annotated[
        Path | None, typer.Option(help="Score recorded judgments (JSON Lines, also .gz); generate and judge nothing.")
    ] = None,
    pairwise: Annotated[
        Path | None, typer.Option(help="Another system's answers (FastChat's format): also judge pairs, both orders.")
    ] = None,
) -> None:
    """Run MT-Bench: two turns, rated 1 to 10; FastChat's temperatures by category."""
    if judgments:
        from moa_graph.cli.eval.recorded import mt_bench_judgments

        mt_bench_judgments(judgments, as_json=choice.as_json)
        return
    from moa_graph.cli.eval.run import start
    from moa_graph.evals import benchmarks

    start("mt-bench", choice, lambda setup: benchmarks.mt_bench(setup, other=pairwise))


@app.command()
@o.with_choice("intervals")
def flask(
    choice: o.Choice,
    reviews: Annotated[
        Path | None, typer.Option(help="Score recorded reviews (JSON Lines, also .gz); generate and judge nothing.")
    ] = None,
    hard: Annotated[bool, typer.Option("--hard", help="The hard subset of 89 items.")] = False,
) -> None:
    """Run FLASK: twelve skills, rated 1 to 5 with a rubric."""
    if reviews:
        from moa_graph.cli.eval.recorded import flask_reviews

        flask_reviews(reviews, hard=hard, as_json=choice.as_json)
        return
    from moa_graph.cli.eval.run import start
    from moa_graph.evals import benchmarks

    start("flask", choice, lambda setup: benchmarks.flask_bench(setup, hard=hard))


@app.command("run")
@o.with_choice()
def own_prompts(
    choice: o.Choice,
    prompts: Annotated[
        Path,
        typer.Argument(
            help="Your prompts: JSON Lines, CSV or Parquet with `prompt` or `messages`, and `gold` or `criteria`; or a "
            "published set: objective/gsm8k.jsonl, math500.jsonl, mmlu_pro.parquet or gpqa_diamond.csv."
        ),
    ],
    criteria: Annotated[str | None, typer.Option(help="The judges' criteria for every answer.")] = None,
    match: Annotated[
        str | None, typer.Option(help="How answers are compared with `gold`: final, exact, number, choice, regex.")
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(help="A command that reads the answer from standard input and exits with 0 if it is right."),
    ] = None,
    check_timeout: Annotated[float, typer.Option(min=0.1, max=3600, help="Time limit of --check in seconds.")] = 10.0,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Number of answers per prompt.")] = 1,
    baseline: Annotated[
        Path | None, typer.Option(help="An earlier run's folder; exit with 1 if this run scores lower.")
    ] = None,
    fail_under: Annotated[
        float | None, typer.Option(min=0, max=100, help="Exit with 1 if the score (in percent) is lower.")
    ] = None,
) -> None:
    """Run your own prompts, with right answers, a check command, or a judge with your criteria; for use in CI."""
    from moa_graph.cli.eval.prompts import run_prompts

    run_prompts(
        choice,
        prompts,
        criteria=criteria,
        match=match,
        check=check,
        check_timeout=check_timeout,
        repeats=repeats,
        baseline=baseline,
        fail_under=fail_under,
    )


@app.command()
def matrix(
    runs: Annotated[list[str], typer.Argument(help="Runs of `moa eval run`; PATH#MODEL selects one of several.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the page.")],
) -> None:
    """Write a page of prompts by systems: every answer with its score."""
    from moa_graph.cli.eval.prompts import write_matrix

    write_matrix(runs, out)


@app.command()
def drafts(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write a report and the drafts here.")] = None,
    scored: Annotated[
        list[str] | None, typer.Option(help="A proposer's drafts, scored by the same benchmark; repeatable.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Show the drafts of a run as data: diversity, copying, outputs per proposer, oracle and rank."""
    from moa_graph.cli.eval.drafts import show_drafts

    show_drafts(run, out, scored or [], as_json=as_json)


@app.command()
def score(
    files: Annotated[
        list[Path],
        typer.Argument(help="Arena-Hard's judgments, JudgeBench's outputs, WildBench's scores, own results."),
    ],
    answers: Annotated[
        list[Path] | None, typer.Option(help="Arena-Hard: answers with metadata, for the style control; repeatable.")
    ] = None,
    baseline: Annotated[str, typer.Option(help="Arena-Hard: the baseline's name in --answers.")] = "",
    as_json: o.Json = False,
) -> None:
    """Score recorded outputs of other benchmarks in their publishers' formats."""
    from moa_graph.cli.eval.score import score_files

    score_files(files, answers or [], baseline, as_json=as_json)


@app.command("judge")
@o.with_choice(
    "preset",
    "file",
    "model",
    "base_url",
    "api_key_env",
    "drafts",
    "judge",
    "majority",
    "name",
    "temperature",
    "max_tokens",
    "intervals",
    "trust",
)
def rate_judges(
    choice: o.Choice,
    humans: Annotated[
        Path | None,
        typer.Option(
            help="Human votes: AlpacaFarm's cross-annotations, PandaLM's test set, or pairs of RewardBench or JudgeLM."
        ),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(help="A judge's verdicts on the same pairs, as FILE or NAME=FILE; the same name adds runs."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help='Ask this judge about the pairs now, as "provider:model"; repeat it.'),
    ] = None,
    runs: Annotated[
        int, typer.Option(min=1, max=20, help="How often to ask each --model; bias and variance need several.")
    ] = 1,
    both_orders: Annotated[
        bool, typer.Option("--both-orders/--one-order", help="Show each pair in both orders, or in the seed's alone.")
    ] = True,
    generators: Annotated[
        Path | None, typer.Option(help="Annotations that name the system of each pair, for the rank correlations.")
    ] = None,
) -> None:
    """Rate judges against humans (the columns of AlpacaEval's evaluator table), or, without --humans, each other."""
    from moa_graph.cli.eval.judges import judge_table

    judge_table(choice, humans, judge or [], model or [], generators, runs=runs, both_orders=both_orders)


@app.command()
def compare(
    systems: Annotated[
        list[str], typer.Argument(help="Two or more run folders or recorded files; PATH#MODEL selects one model.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write a report into this folder.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the permutation tests.")] = 0,
    as_json: o.Json = False,
) -> None:
    """Compare recorded systems on the prompts that both answered. Differences that may be chance are "tied"."""
    from moa_graph.cli.eval.recorded import compare_systems

    compare_systems(systems, out, seed=seed, as_json=as_json)


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Assets, or folders of assets (default: all).")] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the assets; download nothing.")] = False,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Also download files without a known SHA-256.")
    ] = False,
) -> None:
    """Download benchmark data. Source, SHA-256, size and licence are printed first. MOA_ASSETS replaces downloads."""
    from moa_graph.cli.eval.recorded import fetch_assets

    fetch_assets(names or [], listing=listing, unverified=unverified)
