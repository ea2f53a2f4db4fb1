import pytest
import yaml

from neuromoe.core import code
from neuromoe.core.config import check_config, with_defaults
from neuromoe.core.errors import InputError
from neuromoe.core.shell import shell_words


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two steps that share a helper."""
    for name, text in {
        "anat/extract.py": 'from neuromoe.core.helper import work\n\n\ndef extract():\n    """Do."""\n    work()\n',
        "dwi/correct.py": "def correct():\n    import neuromoe.core.other\n",
        "core/helper.py": "from neuromoe.core import deeper\n\n\ndef work():\n    return deeper.x\n",
        "core/deeper.py": "x = 1\n",
        "core/other.py": "y = 1\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "PACKAGE", tmp_path)
    return tmp_path


def digests():
    for function in (code.code_digest, code._content, code._text, code._uses):
        function.cache_clear()
    return code.code_digest("anat", "extract"), code.code_digest("dwi", "correct")


@pytest.mark.parametrize(
    ("file", "text", "changed"),
    [
        (
            "anat/extract.py",
            'from neuromoe.core.helper import work\n# why\ndef extract():\n    """Other."""\n    work()\n',
            0,
        ),
        ("core/deeper.py", "x = 2\n", 1),
        ("core/helper.py", "from neuromoe.core import deeper\ndef work():\n    return -deeper.x\n", 1),
        ("core/other.py", "y = 2\n", 2),
    ],
)
def test_a_digest_follows_the_code_it_reaches_and_no_comment(package, file, text, changed):
    before = digests()
    (package / file).write_text(text)
    after = digests()
    assert [a != b for a, b in zip(before, after, strict=True)] == [changed == 1, changed == 2]


def test_a_shell_line_is_quoted_and_leaves_out_what_is_absent():
    line = shell_words("anat", "extract", {"t1w": "a b", "gm": [], "wm": None, "list": [1, 2], "table": {"k": [1]}})
    assert line == """anat extract --t1w 'a b' --list 1 2 --table '{"k": [1]}'"""


SCHEMA = yaml.safe_load(
    """
type: object
additionalProperties: false
properties:
  seed: {type: integer, minimum: 0, default: 0, description: of everything random}
  anat:
    type: object
    additionalProperties: false
    properties:
      extract:
        type: object
        additionalProperties: false
        properties: {shrink: {type: integer, default: 4, maximum: 8, description: subsampling}}
"""
)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"sead": 1}, "sead: unknown key; did you mean 'seed'"),
        ({"anat": {"extract": {"shrnk": 1}}}, "anat.extract.shrnk: unknown key; did you mean 'shrink'"),
        ({"seed": "one"}, "seed: 'one' is not of type 'integer'"),
        ({"anat": {"extract": {"shrink": 99}}}, "anat.extract.shrink: 99 is greater than the maximum of 8"),
    ],
)
def test_a_wrong_setting_is_named_with_the_nearest_right_one(config, words):
    with pytest.raises(InputError) as caught:
        check_config(config, SCHEMA)
    assert words in str(caught.value)


def test_all_wrong_settings_are_told_together():
    with pytest.raises(InputError) as caught:
        check_config({"sead": 1, "anat": {"extrct": {}}}, SCHEMA)
    assert "did you mean 'seed'" in str(caught.value)
    assert "did you mean 'extract'" in str(caught.value)


def test_defaults_fill_what_is_silent():
    assert with_defaults({"seed": 3}, SCHEMA) == {"seed": 3, "anat": {"extract": {"shrink": 4}}}
