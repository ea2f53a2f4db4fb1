"""Programs that stand in for FSL's: each notes how it was called and with which files, then copies prepared answers."""

import os
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

SCRIPT = """#!/bin/sh
number=$(ls "{calls}" | wc -l)
call="{calls}/$(printf %02d "$number")-{name}"
mkdir -p "$call"
for word in "$@"; do printf '%s\\n' "$word"; done > "$call/argv"
env > "$call/environ"
mkdir "$call/files"
cp -r "$PWD"/. "$call/files"
cp -r "{answers}/{name}"/. "$PWD"
exit {status}
"""


@dataclass(frozen=True)
class StandIn:
    """A folder of programs on PATH, their prepared answers, and the calls that were made."""

    root: Path

    def add(self, name: str, images=None, texts=None, status: int = 0) -> None:
        """Make a program that writes these images (arrays with x from right to left, or with an affine) and texts."""
        answers = self.root / "answers" / name
        answers.mkdir(parents=True, exist_ok=True)
        for file, content in (images or {}).items():
            data, affine = content if isinstance(content, tuple) else (content, np.diag([-2.0, 2, 2, 1]))
            nib.save(nib.Nifti1Image(np.asarray(data, np.float32), affine), answers / file)
        for file, text in (texts or {}).items():
            (answers / file).parent.mkdir(parents=True, exist_ok=True)
            (answers / file).write_text(text)
        for folder in ("bin", "calls"):
            (self.root / folder).mkdir(exist_ok=True)
        program = self.root / "bin" / name
        program.write_text(
            SCRIPT.format(calls=self.root / "calls", answers=self.root / "answers", name=name, status=status)
        )
        program.chmod(0o755)

    def calls(self) -> list[str]:
        """Return the programs that were called, in turn."""
        return [path.name[3:] for path in sorted((self.root / "calls").iterdir())]

    def _call(self, name: str) -> Path:
        return next(path for path in sorted((self.root / "calls").iterdir()) if path.name[3:] == name)

    def words(self, name: str) -> list[str]:
        """Return the words that a program was called with, folders left out."""
        words = (self._call(name) / "argv").read_text().splitlines()
        return ["=".join(Path(part).name for part in word.split("=")) for word in words]

    def file(self, name: str, file: str) -> Path:
        """Return a file as it lay in the folder when the program was called."""
        return self._call(name) / "files" / file

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment that a program saw."""
        lines = (self._call(name) / "environ").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


def as_stored(data, affine) -> tuple[np.ndarray, np.ndarray]:
    """Return values and affine as a file with x from right to left has them."""
    turned = np.array(affine, float)
    turned[:3, 3] += turned[:3, 0] * (data.shape[0] - 1)
    turned[:3, 0] *= -1
    return np.flip(data, axis=0), turned


def topup_answers(volumes: int, image, field) -> tuple[dict, dict]:
    """Return what topup writes for so many volumes: images, and texts."""
    names = ["topup_fieldcoef", "topup_corrected"]
    names += [f"{kind}_{number:02d}" for kind in ("warpfield", "jac") for number in range(1, volumes + 1)]
    images = {f"{name}.nii.gz": image for name in names} | {"topup_field.nii.gz": field}
    nothing = "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
    texts = {"topup.log": "", "topup_movpar.txt": "0 0 0 0 0 0\n" * volumes}
    return images, texts | {f"xfm_{number:02d}.mat": nothing for number in range(1, volumes + 1)}


def eddy_answers(series, vectors: np.ndarray, report: str = "") -> tuple[dict, dict]:
    """Return what eddy writes: the series, and b-vectors (V, 3) along the axes of the file among the texts."""
    volumes = len(vectors)
    texts = {
        "eddied.eddy_rotated_bvecs": "\n".join(" ".join(map(str, row)) for row in vectors.T) + "\n",
        "eddied.eddy_parameters": ("0.1 0.2 0.3 0.01 0.02 0.03" + " 0" * 10 + "\n") * volumes,
        "eddied.eddy_outlier_report": report,
    }
    texts |= {
        f"eddied.eddy_{name}": "0 0\n"
        for name in ("movement_rms", "restricted_movement_rms", "outlier_map", "outlier_n_stdev_map")
    }
    return {"eddied.nii.gz": series}, texts


def put_on_path(monkeypatch, root: Path) -> StandIn:
    """Put a folder of stand-ins before everything else on PATH."""
    monkeypatch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return StandIn(root)


def says(words: list[str], *groups: str) -> bool:
    """Tell whether a command line is exactly these groups of words, each in its order, whatever the groups' order."""
    line = " ".join(words)
    parts = sorted(word for group in groups for word in group.split())
    return all(f" {group} " in f" {line} " for group in groups) and sorted(words) == parts
