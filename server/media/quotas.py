"""How much a device may upload in a day."""

import uuid

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from media.errors import MediaError
from server.accounts.tables import devices
from server.media.tables import uploads
from sync.clock import DAY_MS

SMALLEST = 64 * 1024
"""What an upload counts at least, so that their number is bounded too."""


async def reserve(
    connection: AsyncConnection, device: uuid.UUID, upload: uuid.UUID, size: int, quota: int, now_ms: int
) -> int:
    """Count an upload of `size` bytes against what its device may send in 24 hours, `quota` bytes; what it counts.

    Raises MediaError `quota_exceeded`.
    """
    counted = max(size, SMALLEST)
    # Creations of one device take turns, or many at once would all pass.
    await connection.execute(select(devices.c.id).where(devices.c.id == device).with_for_update(key_share=True))
    others = select(func.coalesce(func.sum(uploads.c.reserved), 0)).where(
        uploads.c.device == device, uploads.c.created_ms > now_ms - DAY_MS, uploads.c.id != upload
    )
    used = int((await connection.execute(others)).scalar_one())
    if used + counted > quota:
        raise MediaError("quota_exceeded", f"{used} of {quota} bytes a day are used, {counted} more are too many")
    return counted
