"""The simulation's side of :class:`zerotrain.cosim.cocotb_chip.CocotbChip`: a cocotb test that
serves bus accesses until its client closes the connection."""

import os
from multiprocessing.connection import Client
from typing import Any

import cocotb
from cocotb.task import bridge

from zerotrain.cosim.cocotb_bus import CocotbBus

__all__ = ["KEY", "NAME", "serve"]

#: Environment variables: the name of the abstract socket on which the client listens, and the key
#: (hexadecimal) that it expects.
NAME, KEY = "ZEROTRAIN_BUS_NAME", "ZEROTRAIN_BUS_KEY"


@cocotb.test()
async def serve(dut: Any) -> None:
    """Answer one request after the other; simulated time passes only inside accesses."""
    bus = CocotbBus(dut)
    await bus.reset()
    await bridge(_answer)(bus)


def _answer(bus: CocotbBus) -> None:
    with Client("\0" + os.environ[NAME], authkey=bytes.fromhex(os.environ[KEY])) as connection:
        while True:
            try:
                name, arguments = connection.recv()
            except EOFError:
                return
            try:
                answer = getattr(bus, name)(*arguments)
            except Exception as error:  # the client raises it again
                answer = error
            connection.send(answer)
