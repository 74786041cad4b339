"""Cutouts into one HDF5 file of ours, which appears only when it is whole."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np
import numpy.typing as npt

from skylike.bands import CUTOUT_SIZE_PIX
from skylike.errors import SettingsError
from skylike.files import replaced_file
from skylike.images.hdf5 import RGB_CHANNELS, read_texts
from skylike.images.read import FLUX_BANDS, Pixels, open_images
from skylike.images.resample import coverage_of
from skylike.images.rows import UNKNOWN_ID, CutoutRows

PART_SUFFIX = ".part"
"""Ending of a file that is being written; a reader never opens one."""

_LAYOUT_VERSION = 1
_TEXT = h5py.string_dtype()


class CutoutWriter:
    """Writes one HDF5 file of cutouts; it appears under its name when the ``with`` block ends well.

    The layout is that of ssl-legacysurvey (``images``, ``ra``, ``dec``) with NaN for what was not
    observed. Beside them are ``name``, ``object_id``, ``coverage``, ``label``, a ``digest`` of the
    pixels and what was ``refused``, and attributes for kind, bands, pixel scale and origin.

    Parameters
    ----------
    path
        Final path; until then the file ends in :data:`PART_SUFFIX`.
    kind
        ``"flux"`` or ``"rgb"``.
    pixel_scale
        Arcsec per pixel, None where unknown or varying.
    """

    def __init__(self, path: Path, *, kind: str, origin: str, pixel_scale: float | None) -> None:
        self._path = path
        self._part = path.with_name(path.name + PART_SUFFIX)
        self._kind, self._origin, self._pixel_scale = kind, origin, pixel_scale
        self._names: list[str] = []
        self._labels: list[str] = []
        self._ra: list[float] = []
        self._dec: list[float] = []
        self._object_id: list[int] = []
        self._coverage: list[npt.NDArray[np.float32]] = []
        self._digests: list[str] = []
        self._refused: list[str] = []

    def __enter__(self) -> Self:
        with self._told():
            # Images are chunks, and go to the disk at once: what HDF5 holds back and cannot write
            # when the file is closed makes it crash (a full disk; seen with HDF5 2.0).
            self._file = h5py.File(self._part, "w", rdcc_nbytes=0)
            self._images = self._file.create_dataset(
                "images",
                shape=(0, 3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX),
                maxshape=(None, 3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX),
                # One image is one chunk: no read, of one or of a block, touches more than it needs.
                chunks=(1, 3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX),
                dtype=np.float32 if self._kind == "flux" else np.uint8,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None and self._names:
            # The file is written under the very name that replaced_file takes it from.
            with self._told(), replaced_file(self._path), self._file:
                self._write_columns()
            return
        with suppress(OSError, RuntimeError):  # a full disk, which the error tells already
            self._file.close()
        self._part.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in a sentence that the disk does not take what is written."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise SettingsError(
                f"{self._path}: cannot be written ({str(error).partition(' (')[0]}); make room on "
                "its disk, or move the data folder with SKYLIKE_HOME"
            ) from error

    def append(
        self,
        pixels: Pixels,
        *,
        names: Sequence[str],
        positions: Sequence[tuple[float, float]],
        object_ids: Sequence[int] | None = None,
        labels: Sequence[str] | None = None,
        coverage: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Append cutouts.

        Parameters
        ----------
        pixels
            (b, 3, 152, 152), as :class:`~skylike.images.read.PixelBatch` holds them.
        positions
            Right ascension and declination of each in degrees, NaN where unknown.
        coverage
            (b, 3); None counts the pixels that are not NaN.

        Raises
        ------
        SettingsError
            The disk is full.
        """
        first, n = len(self._names), len(pixels)
        with self._told():
            self._images.resize(first + n, axis=0)
            self._images[first:] = pixels
        # A file name may be bytes that are no UTF-8, which neither HDF5 nor PostgreSQL holds.
        self._names += [name.encode("utf-8", "backslashreplace").decode() for name in names]
        self._labels += labels if labels is not None else [""] * n
        self._ra += [ra for ra, _ in positions]
        self._dec += [dec for _, dec in positions]
        self._object_id += object_ids if object_ids is not None else [UNKNOWN_ID] * n
        self._coverage.append(coverage_of(pixels) if coverage is None else coverage)
        self._digests += [_digest(image) for image in pixels]

    def refuse(self, sentence: str) -> None:
        """Remember a file that cannot go in; the same input added again is told so again."""
        self._refused.append(sentence)

    @property
    def refused(self) -> tuple[str, ...]:
        """The sentences of :meth:`refuse`."""
        return tuple(self._refused)

    def __len__(self) -> int:
        return len(self._names)

    def rows(self) -> CutoutRows:
        """Return what was written."""
        coverage = self._coverage or [np.empty((0, 3), np.float32)]
        return CutoutRows(
            file_row=np.arange(len(self._names), dtype=np.int32),
            name=np.array(self._names, dtype=np.str_),
            ra=np.array(self._ra, dtype=np.float64),
            dec=np.array(self._dec, dtype=np.float64),
            object_id=np.array(self._object_id, dtype=np.int64),
            coverage=np.concatenate(coverage),
        )

    def _write_columns(self) -> None:
        rows = self.rows()
        self._file["ra"], self._file["dec"] = rows.ra, rows.dec
        self._file["object_id"] = rows.object_id
        self._file["coverage"] = rows.coverage
        self._file.create_dataset("name", data=self._names, dtype=_TEXT)
        self._file.create_dataset("label", data=self._labels, dtype=_TEXT)
        self._file.create_dataset("digest", data=self._digests, dtype=_TEXT)
        self._file.create_dataset("refused", data=self._refused, dtype=_TEXT)
        self._file.attrs["skylike_layout"] = _LAYOUT_VERSION
        self._file.attrs["kind"] = self._kind
        self._file.attrs["origin"] = self._origin
        self._file.attrs["bands"] = list(FLUX_BANDS if self._kind == "flux" else RGB_CHANNELS)
        if self._pixel_scale is not None:
            self._file.attrs["pixel_scale"] = self._pixel_scale


def _digest(image: Pixels) -> str:
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=8).hexdigest()


def read_digests(path: Path) -> list[tuple[str, str]]:
    """Return name and digest of the pixels of each cutout of a file that was written here.

    Names may repeat: galaxies of two surveys may have one identifier, and a tar may hold a file
    twice.
    """
    with open_images(path) as file:
        return list(zip(read_texts(file, "name"), read_texts(file, "digest"), strict=True))
