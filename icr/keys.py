"""What every stage of a run depends on: the one place in which the keys of stages are made.

    start, prompts ─→ responses ─→ rewards ─→ choices ─→ pairs ─→ model ─→ the next round's start
                          └─ reward accuracy       └─→ diagnosis      └──→ answers ─→ evaluation

A stage's key is its own settings and the versions of what it is made of. A version is the hash of a key, so that a
change anywhere upstream changes every key that follows from it; models, prompts and other data that come from outside
are hashed by content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace

from icr.config import Settings
from icr.evaluation import OpenEvaluation, StageParts, Subject
from icr.models import Loader
from icr.rundir import Key, fingerprint
from icr.rundir.fingerprint import Json
from icr.rundir.key import Rows
from icr.rundir.layout import accuracy_stage, round_stages
from icr.sampling import TransformersSampler
from icr.types import Demonstration, Preference, Prompt


@dataclass
class Keys:
    """Keys of all stages of a run, in the order in which they are made.

    Attributes:
        settings: of the run.
        prompts: those that fit the context and are sampled from; none where examples are given.
        given: demonstrations or preferences that are trained on as they are.
        evaluation: with its prompts read; None where nothing is evaluated.
        context: positions of the model, which examples that are given have to fit.
        known: keys by stage.
    """

    settings: Settings
    prompts: Sequence[Prompt]
    given: Sequence[Demonstration] | Sequence[Preference] = ()
    evaluation: OpenEvaluation | None = None
    context: int | None = None
    known: dict[str, Key] = field(default_factory=dict)

    def of_run(self) -> dict[str, Key]:
        """Keys of all stages."""
        settings = self.settings
        for name, path in settings.stage.baselines.items():
            self._evaluation(name, path)
        policies = [settings.model.path]
        for round in range(settings.iterations):
            policies.append(self._round(round, policies))
            self._evaluation(settings.stage.result.format(round=round), policies[-1])
        if settings.evaluation and settings.prompted:
            for name, prompt in settings.evaluation.reward_prompts.items():
                if prompt != settings.reward_prompt:
                    self._rewards(accuracy_stage(name), prompt, 0, policies[:1])
        return self.known

    def _round(self, round: int, policies: Sequence[str]) -> str:
        """Adds the keys of one round; returns the stage of its model."""
        stages, settings = round_stages(round), self.settings
        pairs = self._regenerated(round, policies) if settings.samples else self._given(round)
        earlier = self._replayed(round)
        replay = {"replay": {"share": settings.replay.share}} if earlier else {}
        upstream = pairs | earlier | self._reference(policies[round])
        self._add(stages.pairs, {**self._reference_settings(), **replay}, upstream)
        loader = replace(settings.model.loader, adapter=None)
        self._add(
            stages.model,
            {
                "loss": settings.loss,
                "optim": settings.optim,
                "trainer": settings.trainer,
                "model": {"from_scratch": settings.model.from_scratch and round == 0, "loader": loader},
                "adapter": settings.adapter,
                "seed": settings.seed,
            },
            {"start": self._version(policies[round]), "pairs": self._version(stages.pairs)},
        )
        if settings.adapter and settings.adapter.merge:
            self._add(stages.merged, self._loading(), {"model": self._version(stages.model)})
        return stages.model

    def _regenerated(self, round: int, policies: Sequence[str]) -> dict[str, str]:
        """Adds the keys of a round's data; returns what its pairs are made of."""
        stages, settings = round_stages(round), self.settings
        own = {"sampling": settings.sampling, "seed": settings.seed, **self._loading()}
        policy = {"policy": self._version(policies[round])}
        self._add(stages.responses, own, {**policy, "prompts": _texts(self.prompts, "text")})
        if type(settings.sampling) is TransformersSampler:
            # A response depends on its number, not on how many there are.
            one = replace(settings.sampling, n=1)
            self._add_rows(stages.responses, {**own, "sampling": one}, policy)
        self._rewards(stages.rewards, settings.reward_prompt, round, policies)
        choosing = {name: vars(settings)[name] for name in ("length_control", "gate", "pairing")}
        rewards = {"rewards": self._version(stages.rewards)}
        if settings.second_prompt:
            self._rewards(stages.second_rewards, settings.second_prompt, round, policies)
            rewards["second_rewards"] = self._version(stages.second_rewards)
        for stage in (stages.skipped, stages.length_control):
            self._add(stage, choosing, rewards)
        self._add(stages.diagnosis, {"diagnosis": settings.diagnosis}, {"choices": self._version(stages.skipped)})
        return {"choices": self._version(stages.skipped)}

    def _replayed(self, round: int) -> dict[str, str]:
        """What earlier pairs a round's own are mixed with."""
        replay = self.settings.replay
        if not replay.share:
            return {}
        found = {f"replay_{number}": self._version(round_stages(number).pairs) for number in replay.rounds(round)}
        outside = replay.content()
        return found | ({"replay_file": outside} if outside else {})

    def _given(self, round: int) -> dict[str, str]:
        skipped = round_stages(round).skipped
        content = fingerprint.of_value([asdict(row) for row in self.given])
        self._add(skipped, {"context": self.context, **self._loading()}, {"data": content})
        return {"data": self._version(skipped)}

    def _rewards(self, stage: str, prompt: object, round: int, policies: Sequence[str]) -> None:
        settings = self.settings
        upstream = {
            "responses": self._version(round_stages(round).responses),
            "prompts": _texts(self.prompts, "english"),
        }
        paths, reward = settings.reward.models, fingerprint.of_object(settings.reward)
        upstream |= {f"reward.{name}": self._version(path) for name, path in paths.items()}
        plain = {name: value for name, value in reward.items() if name not in paths} if isinstance(reward, dict) else {}
        own: dict[str, object] = {"reward": plain}
        if settings.reward.prompted:
            own["reward_prompt"] = prompt
        if settings.reward.needs_reward_pair:
            policy, reference = settings.reward_pair.at(round, policies)
            upstream |= {"reward_policy": self._version(policy), "reward_reference": self._version(reference)}
            own |= self._loading()
        self._add(stage, own, upstream)
        rows, own_stages = self.known[round_stages(round).responses].rows, astuple(round_stages(round))
        if rows and stage in own_stages and type(settings.reward).__module__.startswith("icr."):
            each = {name: version for name, version in upstream.items() if name != "prompts"}
            self._add_rows(stage, own, {**each, "responses": rows.base.version})

    def _reference_settings(self) -> dict[str, object]:
        """What the reference log-probs beside the pairs depend on."""
        loss = self.settings.loss
        needs = {"needs_reference": loss.needs_reference, "needs_partner": loss.needs_partner}
        if not loss.needs_reference:
            return {"loss": needs}
        return {"loss": needs, "trainer": {"arithmetic": self.settings.arithmetic}, **self._loading()}

    def _reference(self, start: str) -> dict[str, str]:
        if not self.settings.loss.needs_reference:
            return {}
        pair = self.settings.reward_pair
        paths = {"round_start": start, "policy": pair.policy, "reference": pair.reference}
        return {"training_reference": self._version(paths[self.settings.training_reference])}

    def _evaluation(self, name: str, model: str) -> None:
        if self.evaluation:
            model_settings = {"seed": self.settings.seed, **self._loading()}
            made = self.evaluation.stages(Subject(name, model))
            self.known |= of_stages(made, self._version(model), model_settings)

    def _loading(self) -> dict[str, object]:
        adapter = self.settings.adapter
        return loading(self.settings.model.loader, adapter and adapter.quantisation)

    def _version(self, model_or_stage: str) -> str:
        known = self.known.get(model_or_stage)
        return known.version if known else fingerprint.of_model(model_or_stage)

    def _add_rows(self, stage: str, settings: Mapping[str, object], upstream: Mapping[str, str]) -> None:
        """Adds to the key of a table by prompt what each of its rows depends on."""
        rows = Rows(_key(settings, upstream), self.settings.sampling.n)
        self.known[stage] = replace(self.known[stage], rows=rows)

    def _add(self, stage: str, settings: Mapping[str, object], upstream: Mapping[str, str]) -> None:
        self.known[stage] = _key(settings, upstream)


def of_stages(stages: Sequence[StageParts], model: str, settings: Mapping[str, object]) -> dict[str, Key]:
    """Keys of the stages in which one model is measured, in order.

    Args:
        stages: as a benchmark says them.
        model: its version.
        settings: what the model's own work depends on: how it is loaded, and the seed.
    """
    keys: dict[str, Key] = {}
    for parts in stages:
        upstream = {name: keys[stage].version for name, stage in parts.after.items()} | dict(parts.content)
        if parts.loads:
            own = {name: value for name, value in settings.items() if parts.seeded or name != "seed"}
            version = fingerprint.of_model(parts.path) if parts.path else model
            keys[parts.name] = _key({**own, **parts.settings}, {"model": version} | upstream)
        else:
            keys[parts.name] = _key(parts.settings, upstream)
    return keys


def loading(loader: Loader, quantisation: object = None) -> dict[str, object]:
    """How models are loaded for anything but training."""
    plain = replace(loader, adapter=None, frozen=())
    return {"model": {"loader": plain}, **({"adapter": {"quantisation": quantisation}} if quantisation else {})}


def _key(settings: Mapping[str, object], upstream: Mapping[str, str]) -> Key:
    plain: dict[str, Json] = {name: fingerprint.of_object(value) for name, value in settings.items()}
    return Key(plain, upstream)


def _texts(prompts: Sequence[Prompt], side: str) -> str:
    """Hash of one side of the prompts: as they are answered, or (`english`) as rewards see them."""
    return fingerprint.of_value([(p.id, p.language, p.text if side == "text" else p.english) for p in prompts])
