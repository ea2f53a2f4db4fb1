import json
import struct

import numpy as np
import pytest

from neuromoe.core.errors import InputError
from neuromoe.core.saving import read_arrays, read_facts, write_arrays


def test_arrays_and_metadata_come_back(tmp_path, rng):
    arrays = {"a": rng.normal(size=(3, 4)).astype(np.float16), "b": np.arange(5)}
    write_arrays(tmp_path / "x.safetensors", arrays, {"who": "sub-1", "what": "{}"})
    found, metadata = read_arrays(tmp_path / "x.safetensors")
    assert metadata == {"who": "sub-1", "what": "{}"}
    assert all(
        np.array_equal(found[name], array) and found[name].dtype == array.dtype for name, array in arrays.items()
    )


def test_header_is_sorted_so_that_bytes_do_not_depend_on_the_process(tmp_path):
    path = tmp_path / "x.safetensors"
    write_arrays(path, {"z": np.ones(2), "a": np.ones(3)}, {letter: letter for letter in "qwertyuiop"})
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = content[8 : 8 + size].decode().rstrip()
    assert header == json.dumps(json.loads(header), sort_keys=True, separators=(",", ":"))
    assert (8 + size) % 8 == 0


def test_a_file_that_is_none_is_refused_by_name(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"\x01")
    with pytest.raises(InputError, match=r"broken\.safetensors"):
        read_arrays(tmp_path / "broken.safetensors")
    with pytest.raises(InputError, match=r"none\.json"):
        read_facts(tmp_path / "none.json")
