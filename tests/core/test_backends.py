import json

import pytest

from neuromoe.core.backends import (
    CHOICES,
    PROGRAMS,
    check_record,
    find_program,
    lacking_programs,
    read_record,
    resolve,
    with_backends,
    write_record,
)
from neuromoe.core.errors import InputError


def settings(**chosen: str) -> dict:
    """Return a configuration in which each backend is `auto`, but for those that are named with `__` for a dot."""
    made: dict = {}
    for choice in CHOICES:
        stage, step, key = choice.setting.split(".")
        made.setdefault(stage, {}).setdefault(step, {})[key] = "auto"
    for place, value in chosen.items():
        stage, step, key = place.split("__")
        made[stage][step][key] = value
    return made


def nothing(program: str) -> None:
    return None


def everything(program: str) -> str:
    return f"/opt/fsl/bin/{program}"


def only(*names: str):
    return lambda program: f"/opt/fsl/bin/{program}" if program in names else None


def test_auto_takes_our_own_method_where_there_is_one_and_fsl_where_there_is_no_other():
    with_fsl, without = resolve(settings(), everything), resolve(settings(), nothing)
    assert {key for key in with_fsl if with_fsl[key] == "fsl"} == {
        "dwi.correct.fieldmap_backend",
        "func.correct.fieldmap_backend",
    }
    assert "fsl" not in without.values()
    assert {key for key in with_fsl if with_fsl[key] != without[key]} == {
        key for key in with_fsl if with_fsl[key] == "fsl"
    }


def test_programs_are_looked_for_one_by_one():
    assert (
        resolve(settings(func__correct__motion_backend="fsl"), only("mcflirt"))["func.correct.motion_backend"] == "fsl"
    )
    # topup without eddy is not enough.
    assert resolve(settings(), only("topup"))["dwi.correct.fieldmap_backend"] == "none"
    assert lacking_programs("dwi.correct.fieldmap_backend", only("topup")) == ["eddy"]


def test_what_is_missing_is_told_together_with_setting_and_cure():
    asked = settings(func__correct__motion_backend="fsl", anat__extract__tissue_backend="fsl")
    with pytest.raises(InputError) as caught:
        resolve(asked, only("bet"))
    for word in ("mcflirt", "func.correct.motion_backend", "fast", "anat.extract.tissue_backend", "envs/fsl.yaml"):
        assert word in str(caught.value)
    assert "bet" not in str(caught.value).split("What to do")[0]


def test_eddy_is_found_under_the_names_it_has_had():
    assert find_program("eddy", only("eddy_openmp")) == "/opt/fsl/bin/eddy_openmp"
    assert find_program("eddy", only("eddy_openmp", "eddy_cpu", "eddy")) == "/opt/fsl/bin/eddy_cpu"
    assert find_program("eddy", nothing) is None


def test_ants_registers_the_t1w_when_asked():
    given = settings(anat__normalize__registration_backend="ants")
    assert resolve(given, nothing)["anat.normalize.registration_backend"] == "ants"


def test_a_setting_that_the_configuration_lacks_is_left_out():
    assert resolve({"anat": {"extract": {"mask_backend": "auto"}}}, nothing) == {"anat.extract.mask_backend": "greedy"}


def test_the_jobs_get_the_name_and_never_auto():
    given = settings(func__correct__motion_backend="fsl")
    resolved = with_backends(given, resolve(given, everything))
    assert "auto" not in json.dumps(resolved)
    assert resolved["func"]["correct"]["motion_backend"] == "fsl"
    assert given["dwi"]["correct"]["motion_backend"] == "auto"


def test_a_later_run_with_other_programs_is_refused(tmp_path):
    record = tmp_path / "index" / "backends.json"
    first, second = resolve(settings(), everything), resolve(settings(), nothing)
    check_record(record, first)
    write_record(record, first)
    check_record(record, first)
    assert read_record(record) == first
    with pytest.raises(InputError, match=r"dwi.correct.fieldmap_backend: fsl before, none now"):
        check_record(record, second)


def test_a_new_choice_of_a_later_version_is_not_a_difference(tmp_path):
    record = tmp_path / "backends.json"
    write_record(record, {"anat.extract.mask_backend": "greedy"})
    check_record(record, resolve(settings(), nothing))


def test_doctor_lists_every_program(capsys):
    from neuromoe.commands.doctor import doctor

    doctor()
    printed = capsys.readouterr().out
    assert [name for name in PROGRAMS if f"\n  {name} " not in printed] == []


def test_dipy_denoises_and_fits_when_asked_and_needs_no_program():
    given = settings(dwi__correct__denoise_backend="dipy", dwi__normalize__tensor_backend="dipy")
    chosen = resolve(given, nothing)
    assert (chosen["dwi.correct.denoise_backend"], chosen["dwi.normalize.tensor_backend"]) == ("dipy", "dipy")
    assert resolve(settings(), everything)["dwi.correct.denoise_backend"] == "numpy"
