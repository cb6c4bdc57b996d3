"""Mistakes in the settings of a command line, by kind; the last setting is the culprit, unless a row names another."""

from __future__ import annotations

from tests.faults.bad_input.attempt import Case

DIGITS = "9" * 5000

ROWS: dict[str, list[str | tuple[str, str]]] = {
    "an accelerator that is not there": [
        "trainer.accelerator=gpu",
        "trainer.accelerator=cuda",
        "trainer.accelerator=mps",
    ],
    "no accelerator": ["trainer.accelerator=tpu", "trainer.accelerator=", "trainer.accelerator=null"],
    "no number of devices": [
        *(f"trainer.devices={value}" for value in ("0", "abc", "-2", "1.5", "null", "true", "[]", "[0,1]", "{}")),
        *("trainer.devices='0,1'", "trainer.devices='0,'"),
    ],
    "more processes than cores": ["trainer.devices=1000", "trainer.devices=99999999999999999999999"],
    "more threads than cores": ["trainer.threads=100000", "trainer.threads=99999999999999999999"],
    "no number of threads": ["trainer.threads=-1", "trainer.threads=0", "trainer.threads=1.5", "trainer.threads=true"],
    "nodes without a launcher": ["trainer.num_nodes=2", "trainer.num_nodes=0"],
    "no run directory": [
        *(f"run.dir={value}" for value in ("", "null", "''", "[]", "{}", "true", "'  '")),
        ("~run.dir", "run.dir"),
        ("~run", "run"),
    ],
    "a run directory that is a file": [
        ("run.dir={world}/prompts/en.jsonl", "en.jsonl"),
        ("run.dir={world}/prompts/en.jsonl/x", "en.jsonl"),
        ("run.dir=/dev/null", "/dev/null"),
    ],
    "a run directory where none can be": [("run.dir=/proc/x", "/proc/x"), (f"run.dir=/tmp/{'x' * 300}", "xxx")],
    "a run directory inside of another": [
        ("run.dir={world}/run/round_1", "{run}"),
        ("run.dir={world}/run/new", "{run}"),
    ],
    "brackets and quotes that do not close": [("langs=[en", "[en"), ("loss.beta='1", "'1"), ("x={a:1", "{a:1")],
    "no setting and no value": [("loss", "loss"), ("=x", "=x"), ("+x", "+x"), ("iterations", "iterations")],
    "an option of the command that is none": [("--nonsense", "--nonsense"), ("-x", "-x"), ("--cfg=jobb", "jobb")],
    "options of the command that do not go together": [("--resolve", "--resolve"), ("--info=x", "--info")],
    "a configuration that is not there": [("--config-name=nope", "nope"), ("--config-dir=/nope", "/nope")],
    "a group's option that is none": [
        *("loss=dop", "loss=", "experiment=paper", "experiment=", "model=llama", "logger=x", "strategy=x", "stage=x"),
        *("cluster=x", "judge=x", "evaluation=x", "hydra/launcher=x", "sampling=vlm"),
    ],
    "several options of a group": [("loss=dpo,kto", "loss"), ("loss=[dpo,kto]", "loss"), ("loss=null", "loss")],
    "a setting that is none": ["loss.alhpa=1", "+loss.apha=1", "+foo=1", "los=kto", "trainer.precison=1", "~nothing"],
    "a setting that there is already": ["+loss.beta=1", ("+loss=dpo", "loss")],
    "a group that was taken out": ["~loss", "~langs", "~trainer", "~seed", "~data", "~stage", "~scoring", "~model"],
    "a language that is none": ["langs=[xx]", "langs=[1]", "langs=[null]", "langs=[[en]]", ("langs=xx", "langs")],
    "languages that are none": ["langs=[]", "langs=[en,en]", "langs.codes=null", "langs.codes=en", "langs.names=3"],
    "a language's name that is none": ["+langs.names.xx=", "+langs.names.xx=3", "+langs.names.sw=null"],
    "no seed": [f"seed={value}" for value in ("null", "true", "x", "1.5", "1e3", "9" * 30)],
    "no number of rounds": [f"iterations={value}" for value in ("0", "-1", "true", "null", "9" * 14, "1.5")],
    "a number of thousands of digits": [f"loss.beta={DIGITS}", f"seed={DIGITS}", f"sampling.n={DIGITS}"],
    "brackets in brackets": [f"+a={'[' * 200}{']' * 200}", f"loss.beta={'[' * 3000}", f"+a={'{a:' * 99}{'}' * 99}"],
    "a number that is not finite": [
        *(f"{key}={value}" for key in ("reward.beta", "loss.beta", "optim.lr") for value in ("inf", "nan", "-inf")),
        *("reward.token_clip=nan", "trainer.gradient_clip=nan", "loss.alpha=1e400", "sampling.temperature=inf"),
    ],
    "a number out of its range": [
        *("loss.beta=0", "loss.alpha=-1", "sampling.n=1", "sampling.n=-1", "sampling.top_p=2", "sampling.top_k=0"),
        *("optim.lr=-1", "optim.warmup_ratio=1", "trainer.epochs=0", "trainer.max_steps=0", "trainer.gradient_clip=-1"),
    ],
    "a number that nothing counts to": [
        *("sampling.max_new_tokens=99999999999999999999", "trainer.global_batch_size=99999999999", "loss.beta=1e300"),
    ],
    "a number that is something else": [
        *("loss.beta=true", "loss.beta=abc", "loss.beta=null", "loss.beta=[1]", "loss.beta={a:1}", "sampling.n=1.5"),
    ],
    "an optimiser's number that is none": [
        (f"optim.optimizer.{rest}", "optim.optimizer")
        for rest in (
            *("eps=inf", "eps=-1", "weight_decay=nan", "weight_decay=inf", "betas=[a,b]", "betas=[0.9]", "betas=[]"),
            *("betas=[0.9,0.9,0.9]", "betas=3", "betas=[0.9,nan]", "betas=[0.9,2]", "fused=x", "lr=x"),
        )
    ],
    "a class that is none": [
        *(
            f"loss._target_={name}"
            for name in ("", "3", "icr.losses.Nope", "nope.Nope", "builtins.dict", "sys.maxsize")
        ),
        *("optim.optimizer._target_=torch.optim.Nope", ("optim.optimizer._target_=torch.nn.Linear", "optim.optimizer")),
    ],
    "a class of something else": [
        ("loss._target_=os.system", "loss"),
        ("loss._target_=icr.rewards.RandomPair", "loss"),
    ],
    "a reference to nothing": ["seed=${nope}", "loss.beta=${loss.betta}", "model.path=${oc.env:NOPE_NOPE}"],
    "a reference that is none": ["seed=${seed}", "loss.beta=${nope:3}", ("loss.beta=${iterations", "loss.beta")],
    "a control that is none": [
        *("+controls.x=3", "+controls.x=[3]", "+controls.x=[[a]]", "+controls.x=loss=nll", "+controls.x=[loss=ktoo]"),
        *("+controls.x=[a]", "+controls.x=[--help]", ("+controls.x=['loss.beta=0']", "loss.beta")),
    ],
    "part of a group that is something else": [
        *(
            "evaluation.prompts=3",
            "evaluation.references=3",
            "evaluation.sampling=3",
            "stage.baselines=3",
            "model.shape=3",
        ),
        *("evaluation.references=null", "evaluation.prompts=null", "scoring=3", "evaluation.judge=null"),
    ],
    "a reward prompt that is none": [
        *(f"reward_prompt.template={value}" for value in ("", "hello", "3", "null")),
        *("reward_prompt.language_names={}", "reward_prompt.language_names={en:3}", "reward_prompt.language_names=3"),
    ],
    "choices that are none": [
        *("training_reference=", "training_reference=x", "optim.schedule=cosin", "reward_pair.policy_round=now"),
        *("loss.nll_reduction=mean", "length_control.unit=words", "trainer.precision=16", "reward_pair.residency=x"),
    ],
    "choices that do not fit": [
        ("stage=sft", "stage=sft"),
        ("reward_pair.reference_round=previous", "reward_pair"),
        ("judge=none", "judge"),
        ("model=llama3_8b", "made_for"),
        ("made_for=x", "'x'"),
        ("gate=language gate.confidence=1", "gate.confidence"),
    ],
    "a split that is not there": [("evaluation.split=x", "'x'"), ("stage.split=x", "'x'")],
    "more prompts than there are": [
        *(f"data.prompts_per_language={value}" for value in ("0", "-1", "999999", "1.5", "true", "nan")),
    ],
    "no model": [
        *(("model.path=" + value, f"folder {value}") for value in ("/nope", ".", "/", "nope/nope/nope")),
        ("model.path=", "model folder"),
        "model.path=null",
        "model.path=3",
        ("reward_pair.reference=/nope", "/nope"),
        ("stage.baselines.sft=/nope", "/nope"),
    ],
    "a model's loading": [
        *(f"model.loader.{rest}" for rest in ("dtype=float3", "dtype=3", "frozen=embed", "trust_remote_code=maybe")),
        *("model.loader.end_of_turn=nope", "model.loader.pad_token=nope"),
    ],
    "an adapter that is none": [
        *(f"adapter=lora adapter.{rest}" for rest in ("r=0", "r=x", "r=99999999999", "alpha=nan", "target_modules=[]")),
    ],
    "a setting of vLLM's": [
        *(
            f"sampling=vllm sampling.{rest}"
            for rest in ("tensor_parallel_size=0", "tolerance=nan", "prompts_per_part=0")
        ),
        *(f"sampling=vllm_server sampling.urls=[http://a:1] sampling.{rest}" for rest in ("timeout=0", "retries=x")),
    ],
    "a folder of prompts that is none": [
        ("data=parallel data.dir=/nope made_for=null model=pocket", "/nope"),
        ("data=parallel data.dir={world}/prompts/en.jsonl made_for=null model=pocket", "en.jsonl"),
        ("data=parallel made_for=null model=pocket", "data.dir"),
    ],
}


def cases() -> list[Case]:
    """The rows, each as the arguments of `icr run` on the embedded world."""
    made = []
    for kind, rows in ROWS.items():
        for row in rows:
            text, named = (row, "") if isinstance(row, str) else row
            arguments = text.split(" ") if " " in text and "'  '" not in text else [text]
            made.append(Case(kind, arguments, named.replace("{run}", "world")))
    return made
