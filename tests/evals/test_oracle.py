"""Our formulas against alpaca-eval's own code, where that package is installed (it is not a dependency).

It needs setuptools below 81, so it lives best in an environment of its own:

    pip install alpaca-eval 'setuptools<81' pytest pytest-asyncio pytest-timeout
    PYTHONPATH=. python -m pytest --noconftest -p no:cacheprovider tests/evals/test_oracle.py
"""

import math
import os
import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # It imports pkg_resources and re-seeds global state; neither can be changed here.
    warnings.simplefilter("ignore")
    pytest.importorskip("alpaca_eval", reason="alpaca-eval is not installed (an oracle, not a dependency)")
    import pandas as pd
    from alpaca_eval.analyze import Analyzer, get_metrics_evaluator
    from alpaca_eval.metrics import glm_winrate

from moa_graph.evals.alpaca_eval import length_control as length
from moa_graph.evals.alpaca_eval import scores as alpaca
from moa_graph.evals.data.files import read_rows, read_text
from moa_graph.evals.judge_table import table as meta
from moa_graph.evals.judge_table import votes as meta_data
from tests.evals.pandalm import KEYS, joined_by_text

pytestmark = pytest.mark.filterwarnings("ignore")
ASSETS = Path(os.environ.get("MOA_SHARED") or Path(__file__).parents[3] / "shared") / "assets"
if not ASSETS.is_dir():
    pytest.skip(f"no shared assets at {ASSETS}", allow_module_level=True)


@pytest.mark.parametrize("model", ["claude-2", "alpaca-7b", "NullModel", "gpt-3.5-turbo-0301"])
def test_refit_equals_the_official_code(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same gamed baselines through their GLM and through the one of this package."""
    derived = ASSETS / "alpaca_eval/derived"
    gamed = str(derived / "df_gamed_reconstructed.csv")
    monkeypatch.setattr(glm_winrate, "hf_hub_download", lambda **_: gamed)
    rows = read_rows(ASSETS / f"alpaca_eval/annotations/{model}.json.gz")
    theirs = glm_winrate.get_length_controlled_winrate(pd.DataFrame(rows), save_weights_dir=None)
    difficulty = length.read_difficulty(read_text(derived / "instruction_difficulty_recovered.csv"))
    data, hard = length.model_rows(alpaca.read_annotations(rows), difficulty)
    ours = length.predict(length.refit(data, length.read_gamed(read_text(Path(gamed)))), hard.tolist())
    assert ours == pytest.approx(theirs["length_controlled_winrate"], abs=1e-3)
    rate = alpaca.win_rate([item.win for item in alpaca.read_annotations(rows)])
    assert rate.win_rate == pytest.approx(theirs["win_rate"], abs=1e-9)
    assert rate.standard_error == pytest.approx(theirs["standard_error"], abs=1e-9)


@pytest.mark.timeout(900)
def test_the_judge_table_equals_the_official_analyzer() -> None:
    humans, judge = joined_by_text(ASSETS)
    frame = pd.DataFrame(humans)
    analyzer = Analyzer(
        gold_crossannotations=frame.drop(columns="generator"),
        gold_annotations=frame.drop_duplicates(list(KEYS)),
        n_annotators=3,
    )
    ours = meta_data.humans(humans, humans)
    runs = pd.DataFrame(judge).drop(columns="generator").assign(index=0, n_annotated=1)
    pairs = [
        (get_metrics_evaluator(analyzer, analyzer.df_gold_crossannotations, "humans"), meta.rate_humans(ours)),
        (get_metrics_evaluator(analyzer, runs, "judge"), meta.rate(meta_data.judge("judge", judge), ours)),
    ]
    for theirs, mine in pairs:
        for column, header in meta.COLUMNS.items():
            value = mine.columns[column]
            if value is None:
                assert math.isnan(theirs[header])
            else:
                assert value == pytest.approx(theirs[header], abs=1e-9), header
