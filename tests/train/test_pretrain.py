import json

import numpy as np
import pandas as pd
import pytest

from neuromoe.core.errors import InputError
from neuromoe.model import load
from neuromoe.train.fit import fit
from neuromoe.train.pretrain import pretrain
from neuromoe.train.split import split

SMALL = {"epochs": 2, "width": 6, "layers": 1, "heads": 1}


def run(project, name="pretrained", **choices):
    path = project / name / "pretrained.json"
    files = {"store": project / "store/index.tsv", "clinical": project / "clinical.tsv", "pretrained": path}
    pretrain(**files, **{"settings": SMALL, **choices})
    return path


def unlabel(project, count):
    """Take the label off the first participants, and split the others."""
    table = pd.read_csv(project / "clinical.tsv", sep="\t", keep_default_na=False)
    table.loc[table["participant_id"].isin([f"sub-{row:02d}" for row in range(count)]), "label"] = "n/a"
    table.to_csv(project / "clinical.tsv", sep="\t", index=False)
    split(clinical=project / "clinical.tsv", split=project / "split.json", folds=2)


def fit_on(project, pretrained, **choices):
    fit(
        store=project / "store",
        clinical=project / "clinical.tsv",
        split=project / "split.json",
        predictions=project / "run/predictions.tsv",
        model=project / "run/model",
        experiment="made",
        pretrained=pretrained,
        **{"kind": "neuromoe-paper", "settings": SMALL, **choices},
    )
    return load(project / "run/model")


def test_unlabeled_people_are_learned_from_and_the_figures_are_told(project, capsys):
    unlabel(project, 6)
    path = run(project)
    facts = json.loads(path.read_text())
    assert set(facts["participants"]) <= {f"sub-{row:02d}" for row in range(6)}
    assert set(facts["explained"]) == {"anat", "func"}
    printed = capsys.readouterr().out
    assert "epoch 2 of 2" in printed
    assert f"anat {facts['explained']['anat']:.1%}" in printed
    assert not list(project.glob("pretrained_training/**/*.ckpt"))


def test_a_fit_starts_from_the_encoders_unless_its_settings_say_otherwise(project, capsys):
    unlabel(project, 6)
    path = run(project)
    assert fit_on(project, path).settings.pretrained == str(path.parent)
    assert "note: the encoders" not in capsys.readouterr().out
    assert fit_on(project, path, settings={**SMALL, "pretrained": ""}).settings.pretrained == ""
    assert fit_on(project, path, kind="late-fusion", settings={}).name == "late-fusion"


def test_the_network_among_the_candidates_starts_from_them_too(project, capsys):
    path = run(project, people="all")
    settings = {"candidates": "neuromoe-paper", "folds": 2, "candidate_settings": {"neuromoe-paper": SMALL}}
    fitted = fit_on(project, path, kind="neuromoe-auto", settings=settings)
    assert fitted.candidates["neuromoe-paper"].settings.pretrained == str(path.parent)
    assert fitted.pretrained_on == json.loads(path.read_text())["participants"]
    assert "note: the encoders were pretrained on scans of" in capsys.readouterr().out


def test_who_is_tested_and_was_looked_at_is_named(project, capsys):
    path = run(project, people="all")
    fit_on(project, path)
    assert "note: the encoders were pretrained on scans of" in capsys.readouterr().out


def test_with_nobody_unlabeled_the_error_tells_what_to_do(project):
    with pytest.raises(InputError, match="leave pretraining out"):
        run(project)
    with pytest.raises(InputError, match=r"train\.pretrain\.people"):
        run(project, people="some")


def test_same_seed_same_bytes(project):
    unlabel(project, 8)
    files = [run(project, name, seed=3).parent / "pretrained.safetensors" for name in ("first", "second")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert np.isfinite(json.loads((project / "first/pretrained.json").read_text())["explained"]["anat"])
