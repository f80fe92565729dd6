"""Planted cases: models whose accuracies and correlations are known, so that the right verdict is known.

A prompt has a difficulty that all models share, and one of its own for each model; both are normal. Given them, a
model's drafts are right independently of each other. Wrong drafts choose among a few wrong answers.
"""

from dataclasses import dataclass, replace

import numpy as np

from moa_graph.evals.tune.candidates import free_plans, offers
from moa_graph.evals.tune.choice import TuneChoice, choose
from moa_graph.evals.tune.free import deal
from moa_graph.evals.tune.race import blocks, out_of_race
from moa_graph.evals.tune.samples import Floats, Samples
from moa_graph.evals.tune.splits import Splits, design_size, pick


@dataclass(frozen=True)
class Planted:
    """Synthetic models.

    Attributes:
        skill: What each model adds to the odds of being right, in standard deviations.
        shared: Standard deviation of the difficulty that all models share.
        own: Standard deviation of each model's own difficulty.
        noise: Standard deviation between the drafts of one model on one prompt.
        prices: Dollars of a draft of each model.
        wrong: Wrong answers to choose from.
    """

    skill: tuple[float, ...]
    shared: float
    own: float
    noise: float = 1.0
    prices: tuple[float, ...] = (1.0, 1.0, 1.0)
    wrong: int = 4

    def samples(self, prompts: int, depth: int, seed: int) -> Samples:
        """Return `depth` drafts of each model on so many prompts."""
        rng = np.random.default_rng(seed)
        models = len(self.skill)
        level = np.asarray(self.skill)[:, None] + self.shared * rng.normal(size=prompts)
        level = level + self.own * rng.normal(size=(models, prompts))
        right = self.noise * rng.normal(size=(models, prompts, depth)) < level[..., None]
        answers = np.where(right, 0, 1 + rng.integers(0, self.wrong, size=right.shape))
        ones = np.ones(right.shape)
        return Samples(
            [f"model {n}" for n in range(models)],
            [str(n) for n in range(prompts)],
            scores=right.astype(float),
            answers=answers,
            costs=ones * np.asarray(self.prices)[:, None, None],
            tokens=ones,
            seconds=ones,
            sizes=ones.astype(np.int64),
            counts=[depth] * models,
        )


HELPS = Planted((1.6, 1.6, 1.6), shared=2.2, own=0.8)
"""Equal models with errors of their own: votes gain about five points over the best single model."""
HURTS = Planted((1.0, 0.3, 0.2), shared=1.0, own=0.2, noise=0.05)
"""One model is far ahead and the others fail where it fails: no mixture helps."""


def decided(
    case: Planted, prompts: int, depth: int, seed: int, *, paid: int = 0, stop: bool = True, readers: int = 1
) -> tuple[TuneChoice, list[str], Floats]:
    """Return the decision on one repetition, the candidates' names and their scores.

    Args:
        case: The models.
        prompts: How many prompts.
        depth: Drafts of each model.
        seed: Seed of the repetition.
        paid: Candidates with a call of their own, each exactly as good as the best single model.
        stop: Whether those race, so that some of them stop, as the whole of the prompts decides.
        readers: Ways of reading a final answer, each wrong in one of ten drafts; the one that agrees with the grades on
            all prompts most often is used.
    """
    samples = misread(case.samples(prompts, depth, seed), readers, seed)
    draws = deal(samples, seed=seed)
    design = np.random.default_rng(seed).permutation(prompts)[: design_size(prompts)].tolist() if paid else ()
    splits = Splits.of(prompts, seed=seed, design=design)
    found = offers(samples, splits, texts=False)
    plans = found.plans
    outcomes = [plan.compute(samples, draws) for plan in plans if plan.compute]
    scores = np.stack([outcome.scores for outcome in outcomes])
    more = _raced(as_good(case, prompts, paid, seed), scores, stop=stop)
    names = [*(plan.name for plan in plans), *(f"paid {n}" for n in range(len(more)))]
    table = np.concatenate([scores, more])
    choice = choose(
        table,
        [*(outcome.cost for outcome in outcomes), *[9.0] * len(more)],
        [*(plan.single for plan in plans), *[False] * len(more)],
        kinds=[*(plan.kind for plan in plans), *names[len(plans) :]],
        seed=seed,
        splits=splits,
        offers=np.concatenate([found.halves, np.ones((len(splits.train), len(more)), dtype=bool)], axis=1),
        offered=[*found.whole, *[True] * len(more)],
        stopped=paid - len(more),
    )
    return choice, names, table


def as_good(case: Planted, prompts: int, many: int, seed: int) -> Floats:
    """Return scores of candidates that answer as a fresh draft of the best model does: their true gain is zero."""
    if not many:
        return np.zeros((0, prompts))
    best = int(np.argmax(case.skill))
    return case.samples(prompts, many + 64, seed).scores[best, :, -many:].T


def _raced(paid: Floats, scores: Floats, *, stop: bool) -> Floats:
    """Return the candidates that are left when the race is over."""
    best = scores[int(scores.mean(axis=1).argmax())]
    left = list(paid)
    for block in blocks(scores.shape[1])[:-1] if stop and len(paid) else []:
        why = out_of_race(left, best, block.stop)
        left = [own for own, reason in zip(left, why, strict=True) if reason is None]
    return np.array(left).reshape(len(left), scores.shape[1])


def misread(samples: Samples, readers: int, seed: int, *, share: float = 0.1) -> Samples:
    """Return the samples as the reader sees them that agrees with the grades most often; one reader errs never."""
    if readers < 2:
        return samples
    rng = np.random.default_rng((seed, readers))
    right = samples.scores == 1
    tables = []
    for _ in range(readers):
        wrong = rng.random(right.shape) < share
        tables.append(np.where(wrong, rng.integers(-1, 9, size=right.shape), samples.answers))
    agree = [int(((table[:, :, 0] == 0) == right[:, :, 0]).sum()) for table in tables]
    return replace(samples, answers=tables[int(np.argmax(agree))])


def truth(case: Planted, *, prompts: int = 10_000, depth: int = 5) -> tuple[float, float]:
    """Return the best single model's accuracy and the gain of the best mixture over it, 0 to 1."""
    samples = case.samples(prompts, depth, seed=12345)
    draws = deal(samples, seed=12345)
    plans = free_plans(samples, texts=False)
    outcomes = [plan.compute(samples, draws) for plan in plans if plan.compute]
    means, costs = np.array([each.scores.mean() for each in outcomes]), np.array([each.cost for each in outcomes])
    single = np.array([plan.single for plan in plans])
    best = [float(means[kind][pick(means[kind], costs[kind])]) for kind in (single, ~single)]
    return best[0], best[1] - best[0]


def known_beforehand(case: Planted, *, depth: int, prompts: int = 20_000) -> tuple[float, float]:
    """Return mean and standard deviation of a prompt's gain, of the truly best mixture over the truly best model."""
    samples = case.samples(prompts, depth, seed=5)
    draws = deal(samples, seed=5)
    plans = free_plans(samples, texts=False)
    scores = np.stack([plan.compute(samples, draws).scores for plan in plans if plan.compute])
    single = np.array([plan.single for plan in plans])
    means = scores.mean(axis=1)
    gains = scores[np.where(single, -1, means).argmax()] - scores[np.where(single, means, -1).argmax()]
    return float(gains.mean()), float(gains.std())


def unseen(models: int, depth: int, *, helps: bool) -> Planted:
    """Return a setting that the rule was not made with: drawn at random, and moved until its gain is the wanted one.

    Args:
        models: Size of the pool.
        depth: Drafts of each model.
        helps: Whether the best mixture gains five points; otherwise one model is far ahead of others that fail where it
            fails, and its drafts hardly differ.
    """
    rng = np.random.default_rng([2026, models, depth, helps])
    prices = tuple(rng.choice([1.0, 2.0, 3.0], models).tolist())
    wrong = int(rng.integers(3, 9))
    if not helps:
        top, gaps = rng.uniform(0.6, 1.6), rng.uniform(0.6, 1.5, models - 1)
        skill = (top, *(top - gaps).tolist())
        return Planted(skill, rng.uniform(0.8, 1.5), own=rng.uniform(0.1, 0.3), noise=0.03, prices=prices, wrong=wrong)
    top, shared, share = rng.uniform(1.0, 1.8), rng.uniform(1.0, 2.4), rng.uniform(0.3, 0.8)
    skill = (top, *(top - rng.uniform(0.0, 0.4, models - 1)).tolist())
    low, high = 0.05, 4.0
    for _ in range(9):
        spread = (low + high) / 2
        case = Planted(skill, shared, own=spread, noise=share * spread, prices=prices, wrong=wrong)
        low, high = (spread, high) if truth(case, prompts=3000, depth=depth)[1] < 0.05 else (low, spread)
    return case


def break_even(models: int, depth: int) -> Planted:
    """Return a setting in which the best mixture equals the best single model: the hardest one without a gain.

    Models err independently of each other, so that mixtures differ much from the single model, and the best model is
    moved ahead until no mixture gains. Drafts of one model hardly differ, so that its own votes gain nothing either.
    """
    rng = np.random.default_rng([7, models, depth])
    prices = tuple(rng.choice([1.0, 2.0, 3.0], models).tolist())
    gaps, top, shared = rng.uniform(0.0, 0.4, models - 1), rng.uniform(0.8, 1.6), rng.uniform(0.8, 1.6)
    low, high = 0.0, 4.0
    for _ in range(9):
        lead = (low + high) / 2
        noise = 0.5 if depth == 1 else 0.03
        case = Planted((top, *(top - lead - gaps).tolist()), shared, own=1.1, noise=noise, prices=prices)
        low, high = (lead, high) if truth(case, prompts=6000, depth=depth)[1] > 0 else (low, lead)
    return case
