"""One call of FSL: images written for it, the program run through nipype, its files read again."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neuromoe.core.backends import missing_program
from neuromoe.imaging.images import Image, load_image, save_image


class FslError(RuntimeError):
    """A program of FSL ended with an error; the message holds what it printed."""


class Job:
    """A temporary folder of this call's own, gone when the block ends.

    Images are written with x from right to left (a negative determinant): there FSL's coordinates, gradient tables and
    phase-encoding tables all follow the stored axes.
    """

    def __enter__(self) -> "Job":
        self._holder = tempfile.TemporaryDirectory(prefix="neuromoe-fsl-")
        self.folder = Path(self._holder.name).resolve()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.cleanup()

    def path(self, name: str) -> Path:
        """Return a name in the folder."""
        return self.folder / name

    def write(
        self, image: Image, name: str, dtype: DTypeLike = np.float32, repetition_time_s: float | None = None
    ) -> str:
        """Write an image with x turned round."""
        turned = turned_round(image)
        save_image(turned, self.path(name), dtype=dtype, repetition_time_s=repetition_time_s)
        return str(self.path(name))

    def write_text(self, name: str, text: str) -> str:
        """Write a table."""
        self.path(name).write_text(text)
        return str(self.path(name))

    def read(self, name: str, like: Image | None = None, ndim: int | None = None) -> Image:
        """Read an image that FSL wrote, on exactly the grid of `like` where that is given."""
        image = load_image(self.path(name), ndim=ndim)
        if like is None:
            return image
        if image.data.shape[:3] != like.data.shape[:3]:
            raise FslError(f"{name} has the shape {image.data.shape}, not that of its input {like.data.shape}")
        return Image(image.data, like.affine)

    def table(self, name: str) -> NDArray:
        """Read a table of numbers, always as two dimensions."""
        return np.loadtxt(self.path(name), ndmin=2)

    def run(self, interface: str, *, programs: Sequence[str], **inputs: Any) -> None:
        """Run one of nipype's FSL interfaces in the folder.

        Parameters
        ----------
        interface : str
            Name of the class in `nipype.interfaces.fsl`.
        programs : sequence of str
            Names that the program goes by; the first on PATH is run.
        **inputs
            Of the interface.

        Raises
        ------
        InputError
            None of the programs is on PATH.
        FslError
            It ended with an error, or did not write what it should.
        """
        program = next((name for name in programs if shutil.which(name)), None)
        if program is None:
            raise missing_program(programs[0])
        # Nipype makes a folder for its settings, by default at home, which may not be writable.
        os.environ.setdefault("NIPYPE_CONFIG_DIR", str(self.folder))
        from nipype.interfaces import fsl

        fsl.FSLCommand.set_default_output_type("NIFTI_GZ")
        call = getattr(fsl, interface)(output_type="NIFTI_GZ", **inputs)
        call._cmd = program
        # Two threads sum in another order: one gives the same bytes each time.
        call.inputs.environ.update({"FSLOUTPUTTYPE": "NIFTI_GZ", "OMP_NUM_THREADS": "1"})
        before = Path.cwd()
        try:
            os.chdir(self.folder)  # nipype looks for some outputs beside the caller
            print(call.cmdline, flush=True)
            call.run(cwd=str(self.folder))
        except Exception as err:  # nipype raises several kinds
            raise FslError(f"{program} failed: {err}") from err
        finally:
            os.chdir(before)


def turned_round(image: Image) -> Image:
    """Store an image with its first axis the other way; every voxel stays where it is in the world."""
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (image.data.shape[0] - 1)
    affine[:3, 0] *= -1
    return Image(np.flip(image.data, axis=0), affine)
