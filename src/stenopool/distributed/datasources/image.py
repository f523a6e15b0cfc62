"""Pictures of a stage as arrays, one row a file."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Final, cast

import numpy as np
import pyarrow as pa
from ray.data.extensions import ArrowTensorArray

from stenopool.distributed.datasources.base import StageDatasource
from stenopool.distributed.visibility import sampled
from stenopool.errors import InvalidOptionError, MissingExtraError
from stenopool.storage import open_storage
from stenopool.storage.retrying import PersistentReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from PIL.Image import Image

    from stenopool.distributed.datasources.reading import OpenedFile

SAMPLED_FILES: Final = 5
"""So many pictures are looked at on the driver, to know how much larger they are when decoded."""


class SFStageImageDataSource(StageDatasource):
    """Pictures of a stage, decoded: one row a file.

    Columns: `image` (a Ray tensor, height × width × 3, uint8, RGB), and `path` with
    `include_paths=True`. Other modes are converted: grey is repeated, transparency is dropped,
    16-bit grey keeps its upper eight bits, and of several frames the first counts. A turn that
    EXIF asks for is not made. Pictures of different sizes may share a block.

    Args:
        *arguments: those of `StageDatasource`.
        size: height and width (pixels) to which each picture is scaled; None leaves it as it is.
        mode: a mode of Pillow, such as `L` (height × width); `RGB` by default.
        **options: those of `StageDatasource`.

    Raises:
        MissingExtraError: Pillow is not installed.
        InvalidOptionError: the size is not two positive numbers.
    """

    row_a_file: ClassVar[bool] = True

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401  those of the base class
        size: tuple[int, int] | None = None,
        mode: str | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        if find_spec("PIL") is None:
            raise MissingExtraError("pictures need Pillow; run: pip install 'stenopool[images]'")
        if size is not None and min(size) <= 0:
            raise InvalidOptionError(f"size={size!r} is not a height and a width in pixels")
        super().__init__(*arguments, **options)
        self._decode = functools.partial(image_table, size=size, mode=mode or "RGB")
        self._size = size

    def _tables(self, block_bytes: int) -> Callable[[OpenedFile], Iterator[pa.Table]]:
        return self._decode

    @functools.cached_property
    def _decoded_share(self) -> float:
        storage = open_storage(self._source.root)
        encoded = decoded = 0
        for path, size in sampled(self._files, SAMPLED_FILES):
            with PersistentReader(storage, path) as stream:
                decoded += decoded_bytes(cast("BinaryIO", stream), self._size)
            encoded += size
        return decoded / encoded if encoded and decoded else 1.0

    def _growth(self) -> float:
        return self._decoded_share


def image_table(file: OpenedFile, *, size: tuple[int, int] | None, mode: str) -> Iterator[pa.Table]:
    """One row with the decoded picture.

    Raises:
        StorageError: it is no picture that Pillow reads.
    """
    from PIL import Image

    try:
        with Image.open(file.stream) as picture:
            if size is not None:
                scaled = picture.convert(mode).resize(size[::-1], Image.Resampling.BILINEAR)
                pixels = np.asarray(scaled)
            else:
                pixels = converted(picture, mode)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow's readers raise
        raise file.unreadable("a picture", error) from error
    yield pa.table({"image": ArrowTensorArray.from_numpy(pixels[np.newaxis])})


def converted(picture: Image, mode: str) -> NDArray[np.uint8]:
    """The pixels in a mode: uint8, shape (height, width, 3) for RGB."""
    from PIL import Image

    if picture.mode.startswith("I;16"):
        # Pillow would cut at 255 and give white.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return np.asarray(picture.convert(mode))


def decoded_bytes(stream: BinaryIO, size: tuple[int, int] | None) -> int:
    """Bytes of a picture as RGB, from its header; 0 for one that the reading task will refuse."""
    from PIL import Image

    if size is not None:
        return size[0] * size[1] * 3
    try:
        with Image.open(stream) as picture:
            return picture.width * picture.height * 3
    except (OSError, SyntaxError, ValueError):
        return 0
