"""The shop's other system, which the tools of all examples call: it knows what orders cost, and pays back.

`SHOP_LEDGER` names a file that gets a line for each call, and one when it is done; `SHOP_SECONDS` is how long a call
takes. With both one sees what a killed worker leaves and what is done again.
"""

import asyncio
import os
from pathlib import Path

EUROS = 42
"""What every order costs."""


async def price(order: str) -> str:
    """What the order cost."""
    await _call(f"price {order}")
    return f"{order} cost {EUROS} euros"


async def pay_back(order: str, cents: int) -> str:
    """Pay back. A system that pays for real takes an idempotency key: a call may come twice after a crash."""
    await _call(f"pay_back {order} {cents}")
    return f"{cents} cents paid back for {order}"


async def _call(what: str) -> None:
    _note(f"begin {what}")
    await asyncio.sleep(float(os.environ.get("SHOP_SECONDS", "0")))
    _note(f"end {what}")


def _note(line: str) -> None:
    if ledger := os.environ.get("SHOP_LEDGER"):
        with Path(ledger).open("a") as file:
            file.write(f"{line}\n")
