"""Writes a run directory that looks like a real one, with text that tries to break the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from icr.rundir import Layout, ModelResult, RoundCounts, Summary, manifest
from icr.rundir.layout import RoundLayout

ATTACK = "</script><img src=x onerror=alert(1)><!--"
LANGUAGES = ["en", "es", "ru", "de", "fr", "bn", "sw", "th"]
PROMPTS = {
    "en": "List {n} fruits for {who}, with a title.",
    "es": "Escribe {n} frutas para {who}, con un título.",
    "ru": "Назови фрукты для {who}: {n}, с заголовком.",
    "de": "Nenne {n} Obstsorten für {who}, mit Titel.",
    "fr": "Donne {n} fruits pour {who}, avec un titre.",
    "bn": "{who} এর জন্য শিরোনামসহ {n}টি ফলের নাম লেখো।",
    "sw": "Taja matunda {n} kwa {who}, pamoja na kichwa.",
    "th": "เขียนชื่อผลไม้ {n} ชนิดให้ {who} พร้อมหัวข้อ",
}
WORDS = {
    "en": "apple banana cherry grape mango pear",
    "es": "manzana plátano cereza uva mango pera",
    "ru": "яблоко банан вишня виноград манго груша",
    "de": "Apfel Banane Kirsche Traube Mango Birne",
    "fr": "pomme banane cerise raisin mangue poire",
    "bn": "আপেল কলা চেরি আঙুর আম নাশপাতি",
    "sw": "tufaha ndizi cheri zabibu embe peasi",
    "th": "แอปเปิล กล้วย เชอร์รี องุ่น มะม่วง ลูกแพร์",
}
MEANS = {"sft": 31.9, "dpo_en": 48.3, "M0": 54.9, "M1": 60.0}
CONTROLS = {"nll_on_a_random_sample": (48.3, 47.6), "random_labels": (48.2, 47.3)}


def write_fake_run(
    directory: Path, *, judge: bool = True, summary: bool = True, rounds: int = 2, prompts: int = 40, samples: int = 10
) -> Path:
    """A run of eight languages; without `judge` no models, without `summary` a run that is still going on."""
    rng = np.random.default_rng(0)
    directory.mkdir(parents=True)
    layout = Layout(directory)
    layout.config.write_text(f"seed: 0\nname: '{ATTACK}'\nloss:\n  beta: 0.1\n  alpha: 1.0\n")
    manifest.write(layout.manifest, manifest.read(layout.manifest))
    entries = [_round(layout.round(t), rng, prompts, samples) for t in range(rounds)]
    _metrics(layout.metrics, rng, rounds)
    models = _models(rng) if judge else []
    for model in models:
        if model.control is None:
            layout.evaluation(model.name).parent.mkdir(exist_ok=True)
            _evaluation(rng).to_parquet(layout.evaluation(model.name))
    if summary:
        layout.summary.write_text(json.dumps(_summary(models, entries).as_json(), ensure_ascii=False))
    return directory


def _summary(models: list[ModelResult], entries: list[RoundCounts]) -> Summary:
    accuracy = {l: 0.93 - 0.01 * i for i, l in enumerate(LANGUAGES)}
    lower = {l: a - 0.02 - 0.008 * i for i, (l, a) in enumerate(accuracy.items())}
    stages = ("responses", "rewards", "train")
    return Summary(
        stage="icr",
        seed=0,
        version="0.2.0",
        iterations=len(entries),
        languages=LANGUAGES,
        models=models,
        reward_accuracy={"crosslingual": _mean(accuracy), "multilingual": _mean(lower)} if models else {},
        reward_pair={"policy": "dpo_en", "reference": "sft"},
        rounds=entries,
        skipped_prompts={"en": {"longer than the context": 1}},
        seconds={"sft": 185.0, "dpo_en": 50.2}
        | {f"round_{entry.round}/{stage}": 9.0 + i for entry in entries for i, stage in enumerate(stages)},
        versions={"python": "3.11.9", "torch": "2.9.0", "lightning": "2.6.6"},
    )


def _mean(values: dict) -> dict:
    return {"mean": float(np.mean([v for l, v in values.items() if l != "en"])), **values}


def _models(rng) -> list[ModelResult]:
    def one(mean: float) -> dict:
        rates = {l: mean + float(rng.normal(0, 3)) + (14 if l == "en" else 0) - (5 if i > 4 else 0)
                 for i, l in enumerate(LANGUAGES)}  # fmt: skip
        lc = {l: r - 1.5 for l, r in rates.items()}
        score = {l: r / 100 + 0.1 for l, r in rates.items()}
        errors = {"mean": 1.5, **dict.fromkeys(LANGUAGES, 4.0)}
        return {"win_rate": _mean(rates), "win_rate_se": errors, "lc_win_rate": _mean(lc), "judge_score": _mean(score)}

    starts = [ModelResult(name, "start", None, one(MEANS[name])) for name in ("sft", "dpo_en")]
    rounds = [ModelResult(f"M{t}", "round", t, one(MEANS[f"M{t}"])) for t in (0, 1)]
    return [*starts, *rounds] + [
        ModelResult(f"M{t}", "control", t, one(mean), name)
        for name, means in CONTROLS.items()
        for t, mean in enumerate(means)
    ]


def _answer(rng, language: str, index: int) -> str:
    if index % 17 == 3:
        return ""
    if index % 13 == 5:
        return ATTACK
    return ", ".join(rng.permutation(WORDS[language].split())[: rng.integers(2, 6)]) + "."


def _round(files: RoundLayout, rng, prompts: int, samples: int) -> RoundCounts:
    """Writes one round's tables and returns its entry of the summary."""
    files.responses.parent.mkdir()
    t, rows = files.number, []
    for language in LANGUAGES:
        for p in range(prompts):
            fill = {"n": 3 + p % 3, "who": ["Max", "Ada", "Noor", ATTACK][p % 4]}
            for k in range(samples):
                text = _answer(rng, language, p + k)
                reward = float(rng.normal(0.1 * t, 1.0) + 0.02 * len(text))
                rows.append(
                    {"id": f"p{p:03d}", "language": language, "k": k, "prompt": PROMPTS[language].format(**fill),
                     "english": PROMPTS["en"].format(**fill), "prompt_ids": [1], "response_ids": [3], "text": text,
                     "finish_reason": "length" if (p + k) % 19 == 0 else "stop", "reward": reward, "policy_logp": -9.0,
                     "reference_logp": -9.0 - reward, "tokens": len(text) // 4 + 1, "characters": len(text),
                     "bytes": len(text.encode())}
                )  # fmt: skip
    frame = pd.DataFrame(rows)
    frame["usable"] = frame["finish_reason"] == "stop"
    frame["reason"] = np.where(frame["usable"], "", "cut by the token limit")
    own = ["prompt", "english", "prompt_ids", "response_ids", "text", "finish_reason"]
    keys = ["id", "language", "k"]
    frame[keys + own].to_parquet(files.responses)
    frame.drop(columns=own).to_parquet(files.rewards)
    files.length_control.write_text(json.dumps({l: _curve(rng) for l in LANGUAGES}))
    pairs = _pairs(frame)
    pairs.to_parquet(files.pairs)
    groups = pairs.groupby("language", sort=False)
    skipped = {"en": {"all rewards equal": prompts - int((pairs["language"] == "en").sum())}}
    means = ("chosen_reward", "rejected_reward", "chosen_tokens", "rejected_tokens")
    return RoundCounts(
        round=t,
        prompts=dict.fromkeys(LANGUAGES, prompts),
        responses=dict.fromkeys(LANGUAGES, prompts * samples),
        pairs=groups.size().to_dict(),
        skipped=skipped,
        alpha=dict.fromkeys(LANGUAGES, 0.013),
        **{name: groups[name].mean().to_dict() for name in means},
    )


def _curve(rng) -> dict:
    starts = np.concatenate([[0.0], np.sort(rng.gamma(1.5, 0.01, 150))])
    chosen = 20 - 9 * (1 - np.exp(-starts / 0.02)) + rng.normal(0, 0.15, starts.size)
    rejected = 12 + 7 * (1 - np.exp(-starts / 0.02)) + rng.normal(0, 0.15, starts.size)
    best = int(np.argmin(np.abs(chosen - rejected)))
    return {"unit": "tokens", "alpha": float(starts[best]), "starts": starts.tolist(), "chosen_length": chosen.tolist(),
            "rejected_length": rejected.tolist(), "bias_before": float(chosen[0] - rejected[0]),
            "bias_after": float(chosen[best] - rejected[best])}  # fmt: skip


def _pairs(frame: pd.DataFrame) -> pd.DataFrame:
    pairs = []
    for (language, id_), group in frame[frame["usable"]].groupby(["language", "id"], sort=False):
        if language == "en" and id_ in ("p001", "p002"):
            continue
        best, worst = group.loc[group["reward"].idxmax()], group.loc[group["reward"].idxmin()]
        pairs.append(
            {"id": id_, "language": language, "prompt": [{"role": "user", "content": best["prompt"]}],
             "chosen": [{"role": "assistant", "content": best["text"]}],
             "rejected": [{"role": "assistant", "content": worst["text"]}], "chosen_k": best["k"],
             "rejected_k": worst["k"], "chosen_reward": best["reward"], "rejected_reward": worst["reward"],
             "chosen_tokens": best["tokens"], "rejected_tokens": worst["tokens"]}
        )  # fmt: skip
    return pd.DataFrame(pairs)


def _metrics(path: Path, rng, rounds: int) -> None:
    rows = []
    for t in range(rounds):
        for step in range(1, 18):
            margin = 0.15 * np.log1p(step) + rng.normal(0, 0.02)
            row = {"round": t, "step": step, "loss": 1.2 - 0.02 * step + rng.normal(0, 0.02)}
            row |= {"nll": 0.55 - 0.01 * step, "preference_loss": 0.69 - margin / 3, "rewards/chosen": margin / 2}
            row |= {"rewards/rejected": -margin / 2, "rewards/margins": margin, "rewards/accuracies": 0.5 + margin / 2}
            row |= {"logps/chosen": -8 + 0.05 * step, "logps/rejected": -9 - 0.03 * step, "lr": 2e-4}
            row |= {f"{l}/rewards/margins": margin + rng.normal(0, 0.08) for l in LANGUAGES if step % 2}
            rows.append(row)
    pd.DataFrame(rows).to_csv(path, index=False)


def _evaluation(rng) -> pd.DataFrame:
    rows = []
    for language in LANGUAGES:
        for p in range(12):
            text = _answer(rng, language, p)
            rows.append(
                {"id": f"t{p:03d}", "language": language, "text": text,
                 "prompt": PROMPTS[language].format(n=3, who="Max"),
                 "tokens": 9, "characters": len(text), "score": float(rng.integers(0, 6)) / 5,
                 "opponent": _answer(rng, language, p + 1), "opponent_score": 0.6, "finish_reason": "stop"}
            )  # fmt: skip
    return pd.DataFrame(rows)
