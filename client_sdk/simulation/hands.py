"""People who sign out and in again, and phones that pass from hand to hand."""

import asyncio

from client_sdk.errors import Offline, Rejected
from client_sdk.simulation.phone import Phone


async def sign_out(phone: Phone) -> None:
    """Sign out, whatever waits, with a network or without."""
    if phone.device.user is not None:
        await phone.sign_out()


async def sign_in(phone: Phone) -> None:
    """Sign in again after that."""
    if phone.signed_out_ms is None:
        return
    try:
        await phone.sign_in()
    except (Offline, Rejected) as error:
        phone.say(f"sign-in: {error}")
    else:
        phone.say("signed in again")
        phone.happened["signed in again"] += 1


async def hand_on(phone: Phone) -> None:
    """Lend the phone to somebody else, mostly after a sync, perhaps in another."""
    others = [user for user in phone.neighbours if user != phone.user]
    if not others:
        return
    user = phone.habits.choice(others)
    if phone.habits.random() < 0.7:
        await phone.sync()
    if phone.habits.random() < 0.5:
        phone.begin_sync()
        await asyncio.sleep(phone.habits.random())
    await phone.hand_on(user)
