"""The sections of the dashboard: which logged names and settings are shown where, and how to read them."""

from __future__ import annotations

from collections.abc import Sequence

from icr.dashboard.panels import (
    OPEN,
    Bars,
    Bounds,
    Coordinates,
    Differences,
    Importance,
    Lines,
    LoggedTable,
    Panel,
    Scatter,
    Section,
)
from icr.dashboard.subject import Subject
from icr.metrics import GLOBAL_STEP, MODEL, ROUND, SAMPLES, Figure, Metric, PairMetric, RoundMetric, accuracy

ALPHA, RESPONSES, PROMPTS, SEED = "loss.alpha", "sampling.n", "data.prompts_per_language", "seed"
"""Settings that sweeps are over."""
PERCENT, SHARE = (0.0, 100.0), (0.0, 1.0)


def sections(subject: Subject) -> list[Section]:
    """All sections, in the order in which they are shown."""
    return [
        _overview(subject),
        _per_language(subject),
        _rewards_and_lengths(subject),
        _training(),
        _sweep_over_alpha(subject),
        _sweep_over_counts(subject),
        *_sweep_over_others(subject),
        _alarms(subject),
    ]


def _overview(subject: Subject) -> Section:
    accuracies = [accuracy(prompt) for prompt in subject.reward_prompts]
    measured = [Bars("Reward accuracy", accuracies, "share of pairs")] if accuracies else []
    panels: list[Panel] = [
        _figure(Figure.WIN_RATE, "Win rate over models"),
        _figure(Figure.LC_WIN_RATE, "Length-controlled win rate over models"),
        _figure(Figure.JUDGE_SCORE, "Judge score over models"),
        Bars("Win rate of the last model", [Figure.WIN_RATE.logged], Figure.WIN_RATE.unit),
        *measured,
        Differences("In what runs differ"),
    ]
    return Section(
        "Overview",
        "Figures are means over the target languages. Models are counted from 0, the one that the run started from; "
        "model t + 1 is the result of round t. The accuracy of a reward prompt is the share of pairs of the first "
        "round's responses that its reward orders as the judge does: a half is chance.",
        panels,
    )


def _per_language(subject: Subject) -> Section:
    rates = [
        Lines(
            f"Win rate: {language}",
            [Figure.WIN_RATE.of(language), Figure.LC_WIN_RATE.of(language)],
            MODEL,
            Figure.WIN_RATE.unit,
            PERCENT,
        )
        for language in subject.targets
    ]
    scores = [
        Lines(f"Judge score: {language}", [Figure.JUDGE_SCORE.of(language)], MODEL) for language in subject.targets
    ]
    return Section(
        "Per language",
        "Win rate, plain and length-controlled, and the judge's score over the models, a panel a language. The win "
        "rates share one scale. A language that gains in win rate but not in length-controlled win rate has gained "
        "length.",
        [*rates, *scores],
    )


def _rewards_and_lengths(subject: Subject) -> Section:
    languages = subject.languages
    panels: list[Panel] = [
        _pairs("Rewards of the pairs", [PairMetric.CHOSEN_REWARD, PairMetric.REJECTED_REWARD]),
        _pairs("Lengths of the pairs", [PairMetric.CHOSEN_TOKENS, PairMetric.REJECTED_TOKENS]),
        _pairs("Pairs", [PairMetric.COUNT], languages),
        _pairs("Length control α_len", [PairMetric.ALPHA_LEN], languages),
        _diagnosis("Reward margin of a prompt", RoundMetric.MARGIN, languages),
        _diagnosis("Spread of a prompt's rewards", RoundMetric.SPREAD, languages),
        _diagnosis("Different responses with one reward", RoundMetric.EQUAL_REWARDS, languages),
        _diagnosis("Correlation with length, before length control", RoundMetric.LENGTH_BEFORE, languages),
        _diagnosis("Correlation with length, after length control", RoundMetric.LENGTH_AFTER, languages),
        _diagnosis("Correlation with the policy's log-prob", RoundMetric.WITH_POLICY, languages),
        _diagnosis("Correlation with the reference's log-prob", RoundMetric.WITH_REFERENCE, languages),
        _diagnosis("Log-ratio of the reward pair", RoundMetric.LOG_RATIO, languages),
        _diagnosis("Pairs per prompt", RoundMetric.PAIRS, languages),
        _diagnosis("Responses cut by the token limit", RoundMetric.TRUNCATED, languages),
        _diagnosis("Responses equal to another one", RoundMetric.DUPLICATES, languages),
        LoggedTable("Sampled responses", SAMPLES),
    ]
    return Section(
        "Rewards and lengths",
        "What each round's pairs and responses were like before its training. Length control should bring the "
        "correlation of the reward with length near 0, and chosen and rejected responses to about one length. A "
        "reward that follows the log-prob of one model alone says little about what is preferred. The table has some "
        "of the last round's responses, with their rewards.",
        panels,
    )


def _training() -> Section:
    return Section(
        "Training",
        "Means over all pairs of each optimiser step; steps are counted over all rounds.",
        [
            _steps("Loss", [Metric.LOSS, Metric.PREFERENCE_LOSS]),
            _steps("Reward margins", [Metric.REWARDS_MARGINS]),
            _steps("Reward accuracies", [Metric.REWARDS_ACCURACIES], bounds=SHARE),
            _steps("Rewards", [Metric.REWARDS_CHOSEN, Metric.REWARDS_REJECTED]),
            _steps("Log-probs", [Metric.LOGPS_CHOSEN, Metric.LOGPS_REJECTED]),
            _steps("Log-ratio of chosen responses", [Metric.LOGPS_CHOSEN_RATIO]),
            _steps("NLL of chosen responses", [Metric.NLL]),
            _steps("Learning rate", [Metric.LR]),
        ],
    )


def _sweep_over_alpha(subject: Subject) -> Section:
    settings = _swept(subject, [ALPHA])
    panels: list[Panel] = [
        *_over(ALPHA, "α"),
        Scatter("Log-ratio of chosen responses over α", ALPHA, Metric.LOGPS_CHOSEN_RATIO),
        Scatter("NLL over α", ALPHA, Metric.NLL),
        *_languages_over(subject, ALPHA, "α"),
        Coordinates("Settings and win rate", settings, [Figure.WIN_RATE.logged, Metric.LOGPS_CHOSEN_RATIO]),
        Importance("Which settings matter to the win rate", Figure.WIN_RATE.logged),
    ]
    return Section(
        "Sweep over α",
        "The last model of each run over the weight of the NLL term. Bars are means over the runs of one α, such as "
        "those of several seeds, with their standard error. Without the NLL term, chosen responses tend to become less "
        "likely as training goes on: a log-ratio below 0.",
        panels,
    )


def _sweep_over_counts(subject: Subject) -> Section:
    panels: list[Panel] = [
        *_over(RESPONSES, "responses per prompt"),
        *_over(PROMPTS, "prompts per language"),
        *_languages_over(subject, PROMPTS, "prompts per language"),
        Coordinates("Counts and win rate", _swept(subject, [RESPONSES, PROMPTS]), [Figure.WIN_RATE.logged]),
    ]
    return Section(
        "Sweep over sample counts",
        "The last model of each run over the number of responses sampled per prompt, and of prompts per language.",
        panels,
    )


def _sweep_over_others(subject: Subject) -> list[Section]:
    """What else a sweep was over, where it was."""
    others = [key for key in subject.swept if key not in (ALPHA, RESPONSES, PROMPTS, SEED)]
    panels = [panel for key in others for panel in _over(key, key)]
    about = "The last model of each run over the other settings in which the sweep's jobs differ."
    return [Section("Sweep over other settings", about, panels)] if panels else []


def _alarms(subject: Subject) -> Section:
    languages = subject.languages
    panels: list[Panel] = [
        _steps("Log-ratio of chosen responses by language", [Metric.LOGPS_CHOSEN_RATIO], languages),
        _pairs("Lengths of chosen responses", [PairMetric.CHOSEN_TOKENS], languages),
        _pairs("Lengths of rejected responses", [PairMetric.REJECTED_TOKENS], languages),
        _figure(Figure.TOKENS, "Lengths of answers", subject.targets),
        _diagnosis("Responses in another language", RoundMetric.OFF_LANGUAGE, languages),
        _figure(Figure.OFF_LANGUAGE_RATE, "Answers in another language", subject.targets),
        _diagnosis("Responses that run in circles", RoundMetric.REPEATING, languages),
        _figure(Figure.REPETITION_RATE, "Answers that run in circles", subject.targets),
        _diagnosis("Blank responses", RoundMetric.EMPTY, languages),
    ]
    return Section(
        "Alarms",
        "What goes wrong first, by language: log-ratios of chosen responses that fall below 0, lengths that drift from "
        "round to round, responses in another language, and responses that run in circles.",
        panels,
    )


def _over(key: str, words: str) -> list[Panel]:
    """The win rate over a setting: a point per run, and a bar per value."""
    rate = Figure.WIN_RATE
    return [
        Scatter(f"Win rate over {words}", key, rate.logged),
        Bars(f"Mean win rate by {words}", [rate.logged], rate.unit, key),
    ]


def _languages_over(subject: Subject, key: str, words: str) -> list[Panel]:
    rate = Figure.WIN_RATE
    return [Scatter(f"Win rate over {words}: {code}", key, rate.of(code)) for code in subject.targets]


def _swept(subject: Subject, own: Sequence[str]) -> list[str]:
    """Settings of a section's own, and the others of the sweep."""
    return list(dict.fromkeys([*own, *subject.swept]))


def _figure(figure: Figure, title: str, languages: Sequence[str] = ()) -> Lines:
    """A figure of the evaluation over the models: its mean over the target languages, or a line a language."""
    keys = [figure.of(l) for l in languages] or [figure.logged]
    return Lines(title, keys, MODEL, figure.unit, PERCENT if figure.unit == "%" else OPEN)


def _pairs(title: str, metrics: Sequence[PairMetric], languages: Sequence[str] = ()) -> Lines:
    """Figures of the pairs over the rounds: of all pairs, or a line a language."""
    return Lines(title, _named(metrics, languages), ROUND, metrics[0].unit)


def _diagnosis(title: str, metric: RoundMetric, languages: Sequence[str]) -> Lines:
    """A figure of the responses and rewards over the rounds, a line a language."""
    return Lines(title, _named([metric], languages), ROUND, metric.unit)


def _steps(title: str, metrics: Sequence[Metric], languages: Sequence[str] = (), bounds: Bounds = OPEN) -> Lines:
    """What is logged at each optimiser step: the mean over all pairs, or a line a language."""
    return Lines(title, _named(metrics, languages), GLOBAL_STEP, metrics[0].unit, bounds)


def _named(metrics: Sequence[Metric | RoundMetric | PairMetric], languages: Sequence[str]) -> list[str]:
    return [str(name) for metric in metrics for name in ([metric.of(l) for l in languages] or [metric])]
