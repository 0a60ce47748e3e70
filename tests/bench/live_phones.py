"""Live on phones: one small change, pushed by one device, until those of its street with the SDK hold it."""

import asyncio
import uuid
from contextlib import AsyncExitStack

from client_sdk import Device, Status, SyncState
from client_sdk.demo.stage import Stage
from client_sdk.torture.wire import encoder
from sync.messages import PushRequest
from tests.bench.arrivals import Arrivals, small_change
from tests.bench.crowd import Member

PHONES = 10
CHANGES = 30
GAP_S = 0.5
"""Between two changes. Others follow within seconds: a form is corrected, photos are named in the record."""
_WARM_UP = 5


async def latencies(stage: Stage, user: str, author: Member) -> list[float]:
    """Ms from the push of a change until it is in the store of each phone, CHANGES times; `user` inspects there."""
    arrivals = Arrivals()
    order: list[uuid.UUID] = []
    async with AsyncExitStack() as stack:
        for _ in range(PHONES):
            device = await stack.enter_async_context(Device.open(stage.new_file("phone"), server=stage.url))
            await device.sign_in(user, stage.password)
            await device.sync()
            device.observe(_Watch(arrivals, order))
            await stack.enter_async_context(device.background())
        for number in range(-_WARM_UP, CHANGES):
            if number == 0:
                arrivals.ms.clear()
            change = small_change(author)
            order.append(change.record)
            arrivals.begin(change, author.device.id)
            await author.device.push(encoder.encode(PushRequest([change])))
            await arrivals.until_all(change.record, PHONES)
            await asyncio.sleep(GAP_S)
    return [ms for took in arrivals.ms.values() for ms in took]


class _Watch:
    """Sees a phone's syncs: what they bring are the changes in their order."""

    def __init__(self, arrivals: Arrivals, order: list[uuid.UUID]) -> None:
        self._arrivals = arrivals
        self._order = order
        self._phone = uuid.uuid4()
        self._pulled = 0

    def __call__(self, status: Status) -> None:
        """Note what a sync that went through has brought."""
        if status.state is SyncState.IDLE and status.report is not None:
            for _ in range(status.report.pulled):
                self._arrivals.note(self._order[self._pulled], self._phone)
                self._pulled += 1
