"""Looking into a 12-megapixel photo, as JPEG and as HEIC, beside Pillow decoding the same photo whole."""

import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from uuid import UUID

import pi_heif
from PIL import Image

from media.checks.claims import CaptureTime, Claims, SeenPicture
from media.checks.report import check
from media.derivatives import SCREEN, THUMBNAIL, Derivative
from media.exif import read
from media.inspection.inspector import Inspector
from tests.bench.figures import Figure, figure
from tests.bench.running import Place
from tests.photos import Shot, encoded, exif_of, scene
from tests.tiled_heic import tiled_heic

SIZE = (4000, 3000)
RUNS, QUICK_RUNS = 9, 1
UNIT = "ms"
Work = Callable[[Path], Awaitable[object]]
_USES = [SeenPicture(UUID(int=at), f"sha256:{at:064x}", at * 0x9E3779B97F4A7C15 % 2**64) for at in range(1, 200)]


async def measure(place: Place) -> list[Figure]:
    """Milliseconds for the checks of one photo and for its derivatives, in a warm child."""
    pi_heif.register_heif_opener()
    folder, runs = place.folder, QUICK_RUNS if place.quick else RUNS
    jpeg, heic = folder / "photo.jpg", folder / "photo.heic"
    jpeg.write_bytes(_noisy_photo())
    heic.write_bytes(tiled_heic(SIZE, exif_of(Shot(thumbnail_seed=5))))
    claims = Claims(digest="", record=UUID(int=0), capture=CaptureTime(ms=0, error_ms=0))

    async with Inspector() as inspector:

        async def checks(path: Path) -> None:
            check(claims, await inspector.inspect(path), _USES)

        async def whole(path: Path) -> None:
            with Image.open(path) as picture:
                picture.load()

        async def light(path: Path) -> None:
            read(path)

        def made(wish: Derivative) -> Work:
            return lambda path: inspector.derive(path, wish)

        work: list[tuple[str, Work, Path]] = [
            ("checks of a 12-megapixel photo", checks, jpeg),
            ("thumbnail of it", made(THUMBNAIL), jpeg),
            ("screen size of it", made(SCREEN), jpeg),
            ("EXIF of it on the device", light, jpeg),
            ("checks of a 12-megapixel HEIC", checks, heic),
            ("thumbnail of the HEIC", made(THUMBNAIL), heic),
        ]
        return [await _beside(name, partial(doing, path), partial(whole, path), runs) for name, doing, path in work]


async def _beside(
    name: str, work: Callable[[], Awaitable[object]], baseline: Callable[[], Awaitable[object]], runs: int
) -> Figure:
    """The median of `work`, taking turns with its baseline."""
    spent, base = [], []
    for _ in range(runs):
        spent.append(await _timed(work))
        base.append(await _timed(baseline))
    return figure(name, statistics.median(spent), UNIT, "Pillow decodes it whole", statistics.median(base))


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


def _noisy_photo() -> bytes:
    """As many bytes a pixel as a phone writes: grain makes the difference."""
    grain = Image.effect_noise(SIZE, 40).convert("RGB")
    picture = Image.blend(scene(5, SIZE), grain, 0.25)
    return encoded(picture, exif=exif_of(Shot(thumbnail_seed=5)), quality=88)
