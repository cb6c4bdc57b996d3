"""The names of what is logged in a training and measured in an evaluation: one list each, for all who show them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Self

ROUND, STEP, GLOBAL_STEP = "round", "step", "global_step"
"""What a row of metrics belongs to: its round, and its optimiser step within the round and over all rounds, from 0."""

MODEL = "model"
"""Axis of what is measured of whole models: 0 is π_0, the model that the run begins with, and t + 1 is M_t."""

SAMPLES = "samples"
"""Name of a round's table of samples, where a tracker has tables."""

LEAST_CHOSEN_RATIO = -1.0
"""Nats: `logps/chosen_ratio` below which chosen responses have become less likely; e^-1 is about a third."""

MOST_LENGTH_DRIFT = 1.5
"""Times by which responses may become longer, or shorter."""

MOST_OFF_LANGUAGE, MOST_REPEATING = 0.1, 0.1
"""Shares of responses in another language than their prompt's, and running in circles."""


class Metric(StrEnum):
    """What is logged at each optimiser step, as the mean over the step's pairs on all processes.

    Log-probs are `log π(y|x)`, summed over the tokens of a response; the reference is the training reference. The names
    are those of TRL, where it has one.

    Attributes:
        unit: of the values; `""` where they have none.
        about: one line on what is measured.
        per_language: whether the mean over each language's pairs is logged as well, as `<lang>/<name>`.
    """

    unit: str
    about: str
    per_language: bool

    def __new__(cls, name: str, unit: str, about: str, per_language: bool = True) -> Metric:
        """A member that is the string `name`."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.unit, member.about, member.per_language = unit, about, per_language
        return member

    LOSS = "loss", "", "what the optimiser lowers: the preference loss plus α times the NLL", False
    PREFERENCE_LOSS = "preference_loss", "", "the loss without its NLL term, such as DPO's"
    NLL = "nll", "nats per token", "negative log-likelihood of chosen responses"
    REWARDS_CHOSEN = "rewards/chosen", "nats", "implicit reward β·log(π/π_ref) of chosen responses"
    REWARDS_REJECTED = "rewards/rejected", "nats", "implicit reward β·log(π/π_ref) of rejected responses"
    REWARDS_MARGINS = "rewards/margins", "nats", "reward of chosen less reward of rejected"
    REWARDS_ACCURACIES = "rewards/accuracies", "share of pairs", "margins above 0"
    LOGPS_CHOSEN = "logps/chosen", "nats", "log-prob of a chosen response"
    LOGPS_REJECTED = "logps/rejected", "nats", "log-prob of a rejected response"
    LOGPS_CHOSEN_RATIO = (
        "logps/chosen_ratio",
        "nats",
        "log(π/π_ref) of chosen responses; below 0 they became less likely",
    )
    KL = "kl", "nats", "KTO's estimate z_0 of the KL divergence from the reference", False
    LR = "lr", "", "learning rate", False

    def of(self, language: str) -> str:
        """Name of the mean over one language's pairs."""
        return f"{language}/{self}"


class _Described(StrEnum):
    """Names with the unit of what they name, and a line about it."""

    unit: str
    about: str

    def __new__(cls, name: str, unit: str, about: str) -> Self:
        """A member that is the string `name`."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.unit, member.about = unit, about
        return member

    def of(self, language: str) -> str:
        """Name under which the figure of one language is logged."""
        return f"{language}/{self}"


class RoundMetric(_Described):
    """What is logged once per round before its training, of the responses that were sampled and rewarded.

    Each is a figure of one language, and is logged as `<lang>/<name>` at the round's first step. Correlations are
    Kendall's τ_b over the comparisons of usable responses to one prompt.

    Attributes:
        unit: of the values; `""` where they have none.
        about: one line on what is measured.
    """

    PAIRS = "diagnosis/pairs_per_prompt", "pairs", "pairs made, of all prompts"
    EQUAL_REWARDS = "diagnosis/equal_rewards", "share of comparisons", "two different usable responses with one reward"
    MARGIN = "diagnosis/margin", "nats", "mean difference of a prompt's highest and lowest reward"
    SPREAD = "diagnosis/spread", "nats", "mean standard deviation of a prompt's rewards"
    LENGTH_BEFORE = "diagnosis/length_before", "τ", "correlation of the reward with length"
    LENGTH_AFTER = "diagnosis/length_after", "τ", "the same of the score s = r − α_len·|y| after length control"
    WITH_POLICY = "diagnosis/with_policy", "τ", "correlation of the reward with the reward policy's log-prob"
    WITH_REFERENCE = "diagnosis/with_reference", "τ", "correlation of the reward with the reference's log-prob"
    LOG_RATIO = "diagnosis/log_ratio", "nats per token", "mean log π − log π_ref of the reward pair"
    TRUNCATED = "diagnosis/truncated", "share of responses", "cut by the token limit"
    DUPLICATES = "diagnosis/duplicates", "share of responses", "equal to another response to the prompt"
    EMPTY = "diagnosis/empty", "share of responses", "blank"
    REPEATING = "diagnosis/repeating", "share of responses looked at", "running in circles"
    OFF_LANGUAGE = "diagnosis/off_language", "share of responses looked at", "confidently in another of the languages"


class PairMetric(_Described):
    """What is logged once per round before its training, of the pairs that it has made, at the round's first step.

    `<lang>/<name>` is of one language; the name alone is of all: the sum of the counts, the mean over languages of
    α_len, and means over pairs of the rest. Replayed pairs do not count.

    Attributes:
        unit: of the values; `""` where they have none.
        about: one line on what is measured.
    """

    ALPHA_LEN = "pairs/alpha_len", "per token or character", "α_len of the length control"
    CHOSEN_REWARD = "pairs/chosen_reward", "nats", "mean reward of chosen responses, before length control"
    REJECTED_REWARD = "pairs/rejected_reward", "nats", "mean reward of rejected responses, before length control"
    CHOSEN_TOKENS = "pairs/chosen_tokens", "tokens", "mean length of chosen responses"
    REJECTED_TOKENS = "pairs/rejected_tokens", "tokens", "mean length of rejected responses"
    COUNT = "pairs/count", "pairs", "pairs made"


class Figure(_Described):
    """What is measured about a model's answers, by language and as the mean over the target languages.

    Attributes:
        unit: of the values.
        about: one line on what is measured.
    """

    WIN_RATE = "win_rate", "%", "comparisons won against the reference answers, a tie counting a half"
    WIN_RATE_SE = "win_rate_se", "points", "standard error of the win rate over prompts"
    LC_WIN_RATE = "lc_win_rate", "%", "win rate if both answers were equally long"
    LC_WIN_RATE_SE = "lc_win_rate_se", "points", "standard error of the length-controlled predictions over prompts"
    JUDGE_SCORE = "judge_score", "", "mean score of a judge that scores answers one by one"
    UNJUDGED = "unjudged", "comparisons", "comparisons without a verdict"
    FLIP_RATE = "flip_rate", "%", "verdicts that name another winner when the answers change place"
    ORDER_KAPPA = "order_kappa", "", "Cohen's κ between the verdicts of the two orders, as win, tie or loss"
    CHARACTERS = "characters", "characters", "mean length of the answers"
    REFERENCE_CHARACTERS = "reference_characters", "characters", "mean length of the reference answers"
    TOKENS = "tokens", "tokens", "mean length of the answers in tokens of the model"
    EMPTY_RATE = "empty_rate", "%", "answers without any text"
    TRUNCATION_RATE = "truncation_rate", "%", "answers that were cut at the largest number of tokens"
    REPETITION_RATE = "repetition_rate", "%", "answers that run in circles"
    OFF_LANGUAGE_RATE = "off_language_rate", "%", "answers in another language than their prompt"

    @property
    def logged(self) -> str:
        """Name under which the mean over the target languages is logged, on the axis `model`, by a tracker."""
        return f"eval/{self}"

    def of(self, language: str) -> str:
        """Name under which the figure of one language is logged, on the same axis."""
        return f"{language}/{self.logged}"


class AnswerFigure(_Described):
    """What is measured about answers that nobody has judged, besides those of `Figure` that need no judge.

    Attributes:
        unit: of the values.
        about: one line on what is measured.
    """

    DISTINCT_RATE = "distinct_rate", "%", "different answers among those to one prompt"


class PreferenceFigure(_Described):
    """What is measured about a model on labelled answers, by language and as the mean over the target languages.

    Attributes:
        unit: of the values.
        about: one line on what is measured.
    """

    ACCURACY = (
        "preference_accuracy",
        "%",
        "rows whose chosen answer has the higher log-ratio, at equal length",
    )
    ACCURACY_GIVEN = "preference_accuracy_given", "%", "the same of whole answers, with their ends of turn"
    TIES = "preference_ties", "%", "rows whose two log-ratios are equal, at equal length; they count as wrong"
    MARGIN = (
        "preference_margin",
        "nats per token",
        "log-ratio of chosen less that of rejected, at equal length",
    )
    LIKELIER = "chosen_likelier", "%", "rows whose chosen answer is the likelier one, at equal length"
    LIKELIER_GIVEN = "chosen_likelier_given", "%", "the same of whole answers, by the sum of their log-probs"
    BASE_LIKELIER = (
        "base_likelier",
        "%",
        "rows whose chosen answer is the likelier one under the base, at equal length",
    )
    BASE_LESS_LIKELY = (
        "base_less_likely",
        "%",
        "rows whose chosen answer is the less likely one under it, at equal length",
    )
    CHOSEN_LOGP = "chosen_logp", "nats per token", "mean log-prob of chosen answers under the model"
    REJECTED_LOGP = "rejected_logp", "nats per token", "mean log-prob of rejected answers under the model"
    PROMPTS = "labelled_prompts", "prompts", "prompts that were scored"
    ROWS = "labelled_rows", "rows", "labelled rows that were scored"


def accuracy(reward_prompt: str, language: str | None = None) -> str:
    """Name of the share of comparisons of round 0 that a reward prompt orders as the judge does, by language or in all.

    A tracker logs it once per run, at `model` 0.
    """
    name = f"accuracy/{reward_prompt}"
    return name if language is None else f"{language}/{name}"


def names(languages: Iterable[str]) -> list[str]:
    """Every name that may be logged at a training's steps in a run with these languages."""
    return [*Metric, *(metric.of(language) for language in languages for metric in Metric if metric.per_language)]


def round_names(languages: Iterable[str]) -> list[str]:
    """Every name that may be logged once per round."""
    codes = list(languages)
    diagnosis = [metric.of(language) for language in codes for metric in RoundMetric]
    return [*diagnosis, *(name for metric in PairMetric for name in (str(metric), *map(metric.of, codes)))]


def model_names(languages: Iterable[str], reward_prompts: Iterable[str] = ()) -> list[str]:
    """Every name that a tracker may log on the axis `model`."""
    codes = list(languages)
    figures = [name for figure in Figure for name in (figure.logged, *map(figure.of, codes))]
    return [*figures, *(accuracy(prompt, language) for prompt in reward_prompts for language in (None, *codes))]


def logged(languages: Iterable[str], reward_prompts: Iterable[str] = ()) -> list[str]:
    """Every name that a tracker may log in a run with these languages and reward prompts, but for axes and tables."""
    codes = list(languages)
    return [*names(codes), *round_names(codes), *model_names(codes, reward_prompts)]
