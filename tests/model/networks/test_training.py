"""The trainer: what a killed, a shared and an uninterrupted run have in common."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.model import build_model

QUICK = {"epochs": 3, "width": 12, "layers": 1, "folds": 2}
# A fit in a process of its own; reading a batch is made to take some seconds more.
SCRIPT = """
import json, os, sys, time
from pathlib import Path
import numpy as np
sys.path.insert(0, {root!r})
from tests.conftest import make_cohort
from neuromoe.model import build_model
from neuromoe.model.networks.reader import Reader
read = Reader.tokens
Reader.tokens = lambda *given: (time.sleep({slow}), read(*given))[1]
cohort = make_cohort(np.random.default_rng(5), people=30, side=8)
model = build_model({name!r}, seed=3, **{settings!r})
model.folder, model.progress = Path({folder!r}) if {folder!r} else None, True
model.fit(cohort, np.arange(24), np.arange(24, 30))
if int(os.environ.get("LOCAL_RANK", 0)) == 0:
    said = model.predict_proba(cohort, np.arange(30)).tolist()
    print("RESULT" + json.dumps({{"history": model.history, "said": said}}), flush=True)
"""
ROOT = str(Path(__file__).parents[3])


def _start(name: str, settings: dict, script: Path, folder: Path | None = None, slow: float = 0.0) -> subprocess.Popen:
    # Lightning starts further processes by the first one's command line: the script is a file.
    script.write_text(SCRIPT.format(root=ROOT, name=name, settings=settings, folder=str(folder or ""), slow=slow))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ROOT}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, str(script)], env=environment, **pipes)


def _result(run: subprocess.Popen) -> dict:
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err[-3000:]
    return json.loads(next(line for line in out.splitlines() if line.startswith("RESULT")).removeprefix("RESULT"))


@pytest.mark.parametrize("name", ["neuromoe", "neuromoe-paper"])
def test_a_killed_fit_goes_on_to_the_result_of_an_uninterrupted_one(name, tmp_path):
    settings = QUICK | {"epochs": 6} | ({"gate": "bias"} if name == "neuromoe" else {})
    script = tmp_path / "run.py"
    whole = _result(_start(name, settings, script, tmp_path / "whole"))
    run = _start(name, settings, script, tmp_path / "killed", slow=0.1)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "killed").rglob("last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    run.send_signal(signal.SIGKILL)
    killed_after = len([line for line in run.communicate()[0].splitlines() if line.startswith("epoch")])
    resumed = _start(name, settings, script, tmp_path / "killed")
    out, err = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, err[-3000:]
    lines = [line for line in out.splitlines() if line.startswith("epoch")]
    assert 0 < killed_after < len(whole["history"]) and len(lines) < len(whole["history"])
    found = json.loads(next(line for line in out.splitlines() if line.startswith("RESULT")).removeprefix("RESULT"))
    assert found == whole


@pytest.mark.parametrize(
    "kind",
    [
        {"training": "mixture", "gate": "clinical", "balance": 0.5, "gate_dropout": 0.0},
        # Two trainings, one after the other: of the members that tell whether it is worth it, and of the others.
        {"training": "experts", "gate": "bias", "folds": 3},
    ],
    ids=["mixture", "experts"],
)
def test_two_processes_train_as_one_with_the_same_batches(kind, tmp_path):
    settings = QUICK | {"dropout": 0.0, "clinical_dropout": 0.0, "batch_size": 7, "device": "cpu"} | kind
    shared = settings | {"devices": 2, "strategy": "ddp"}
    one, two = (_result(_start("neuromoe", chosen, tmp_path / "run.py")) for chosen in (settings, shared))
    assert len(one["history"]) == (6 if kind["training"] == "experts" else 3)
    for alone, together in zip(one["history"], two["history"], strict=True):
        assert together == pytest.approx(alone, abs=1e-5)
    # The people of one batch may all lack a modality in one process and not in the other.
    assert np.allclose(one["said"], two["said"], atol=1e-4)


def test_checkpoints_of_other_settings_are_not_gone_on_from(made_cohort, tmp_path):
    cohort = made_cohort(side=8)
    for epochs in (2, 3):
        model = build_model("neuromoe-paper", seed=1, **QUICK | {"epochs": epochs})
        model.folder = tmp_path
        model.fit(cohort, np.arange(24))
        assert len(model.history) == epochs
    assert len(list(tmp_path.iterdir())) == 2
    model.forget_checkpoints()
    assert not list(tmp_path.rglob("*.ckpt")) and len(list(tmp_path.rglob("metrics.csv"))) == 2


def test_what_lightning_cannot_use_is_one_clear_error(made_cohort):
    model = build_model("neuromoe-paper", **QUICK | {"strategy": "dpp"})
    with pytest.raises(InputError, match="dpp"):
        model.fit(made_cohort(side=8), np.arange(24))


@pytest.mark.parametrize("damage", ["moved", "half"])
def test_a_checkpoint_that_was_moved_or_is_half_is_trained_again(damage, made_cohort, tmp_path):
    cohort = made_cohort(side=8)

    def fit(folder):
        model = build_model("neuromoe-paper", **QUICK)
        model.folder = str(folder)
        return model.fit(cohort, np.arange(24)).predict_proba(cohort, np.arange(24, 36))

    first = fit(tmp_path / "one")
    if damage == "moved":
        (tmp_path / "one").rename(tmp_path / "two")
    else:
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        [last] = (tmp_path / "two").rglob("last.ckpt")
        last.write_bytes(last.read_bytes()[:-2000])
    assert np.array_equal(fit(tmp_path / "two"), first)


def test_a_training_that_runs_away_says_so_and_predicts_nothing(made_cohort):
    cohort = made_cohort(side=8)
    model = build_model("neuromoe-paper", **QUICK | {"learning_rate": 1e20}).fit(cohort, np.arange(24))
    assert "ran away" in model.diagnosis[0]
    with pytest.raises(InputError, match="found NaN for 12 of 12"):
        model.predict_proba(cohort, np.arange(24, 36))


def test_tensorboard_gets_the_losses(made_cohort, tmp_path):
    model = build_model("neuromoe-paper", **QUICK | {"loggers": "tensorboard", "epochs": 1})
    model.folder = tmp_path
    model.fit(made_cohort(side=8), np.arange(24))
    assert list(tmp_path.rglob("events.out.*"))


@pytest.mark.parametrize("name", ["neuromoe", "neuromoe-paper"])
def test_half_precision_trains(name, made_cohort):
    cohort = made_cohort(side=8)
    model = build_model(name, **QUICK | {"precision": "bf16-mixed", "device": "cpu", "epochs": 2})
    model.fit(cohort, np.arange(24))
    assert np.isfinite([epoch["val"] for epoch in model.history]).all()


def test_a_line_per_epoch_is_printed_with_and_without_people_held_out(made_cohort, capsys):
    for share in (0.2, 0.0):
        settings = {"epochs": 2, "folds": 1, "validation_share": share}
        model = build_model("neuromoe-paper", **QUICK | settings)
        model.progress = True
        model.fit(made_cohort(side=8), np.arange(24))
        lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("note: ")]
        assert [line[:14] for line in lines] == ["epoch 1 of 2: ", "epoch 2 of 2: "]
        assert ("val loss" in lines[0]) == bool(share)


def test_members_of_parts_train_to_the_end_and_a_single_one_stops_when_it_gets_no_better(made_cohort):
    cohort = made_cohort(side=8, effect=0.0, where="none")
    lengths = []
    for more in ({}, {"folds": 1}, {"folds": 1, "patience": 2}):
        settings = QUICK | {"epochs": 15, "learning_rate": 0.02} | more
        lengths.append(len(build_model("neuromoe-paper", **settings).fit(cohort, np.arange(24)).history))
    assert lengths[:2] == [15, 15] and lengths[2] < 15
