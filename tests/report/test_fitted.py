"""What fitted models say of themselves, on the result's page."""

import json

from neuromoe.report._fitted import belief_rows, choice_rows, read_fitted, sign_rows


def _write(models, experiment: str, fold: int, fitted: dict) -> None:
    folder = models / experiment / f"repeat-0_fold-{fold}" / "model"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"fitted": fitted}))


def _choice(loss: float, weight: float) -> list[dict]:
    row = {"candidate": "one", "held_out_nll": loss, "held_out_balanced_accuracy": 0.5, "weight": weight}
    return [row, row | {"candidate": "other", "weight": 1 - weight}]


def test_choices_are_averaged_over_folds(tmp_path):
    for fold, (loss, weight) in enumerate([(0.4, 1.0), (0.6, 0.5)]):
        _write(tmp_path, "auto", fold, {"choice": _choice(loss, weight)})
    found = choice_rows(read_fitted(tmp_path, "auto"))
    assert found["folds"] == 2
    one, other = found["rows"]
    assert (one["held_out_nll"], one["weight"], one["used"]) == (0.5, 0.75, 2)
    assert (other["weight"], other["used"]) == (0.25, 1)


def test_signs_name_their_fold(tmp_path):
    _write(tmp_path, "net", 0, {"diagnosis": []})
    _write(tmp_path, "net", 1, {"diagnosis": ["the gate is unused"]})
    found = sign_rows(read_fitted(tmp_path, "net"))
    assert (found["with"], found["folds"]) == (1, 2)
    assert found["rows"] == [{"fold": "repeat-0_fold-1", "sign": "the gate is unused"}]


def test_beliefs_are_averaged_over_folds(tmp_path):
    for fold, (loss, share) in enumerate([(0.5, 0.0), (0.9, 0.4)]):
        gates = [{"kind": "clinical", "held_out_nll": loss}, {"kind": "clinical", "held_out_nll": 1.2}]
        gates = sorted([*gates, {"kind": "uniform", "held_out_nll": 0.7}], key=lambda row: row["held_out_nll"])
        _write(tmp_path, "net", fold, {"gates": gates, "share": {"anat": share}, "use": {"anat": 0.5}})
    found = belief_rows(read_fitted(tmp_path, "net"))
    clinical, uniform = found["gates"]
    assert (clinical["kind"], clinical["held_out_nll"], clinical["chosen"], uniform["chosen"]) == (
        "clinical",
        0.7,
        1,
        1,
    )
    assert found["experts"] == [{"expert": "anat", "share": 0.2, "use": 0.5, "believed": 1}]
    _write(tmp_path, "whole", 0, {"gates": [], "share": {}, "use": {"anat": 0.5}})
    assert belief_rows(read_fitted(tmp_path, "whole"))["experts"][0]["share"] is None


def test_models_that_say_nothing_have_no_part(tmp_path):
    _write(tmp_path, "plain", 0, {})
    for models in (tmp_path, None):
        fitted = read_fitted(models, "plain")
        assert choice_rows(fitted) is None and sign_rows(fitted) is None and belief_rows(fitted) is None
