"""A remote-controlled WebSocket client on Debian's python3-websockets.

Commands come as lines of JSON on stdin and what happened goes to stdout; the
commands are described in ../peer_test.go. The end of stdin ends the program.
"""

import asyncio
import json
import sys

import websockets


def tell(**what):
    print(json.dumps(what), flush=True)


async def receive(connection):
    """Tells every frame until the connection is closed, by whomever."""
    try:
        async for text in connection:
            tell(frame=json.loads(text))
    except websockets.ConnectionClosed:
        pass
    tell(closed=connection.close_code)


async def obey(commands):
    connection = receiving = None
    async for line in commands:
        command = json.loads(line)
        if command["do"] == "open":
            connection = await websockets.connect(command["url"])
            tell(opened=True)
            receiving = asyncio.create_task(receive(connection))
        elif command["do"] == "send":
            await connection.send(json.dumps(command["frame"]))
        elif command["do"] == "close":
            await connection.close()
            await receiving
        else:
            raise ValueError(f"unknown command {command['do']}")


async def main():
    commands = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    await obey(commands)


asyncio.run(main())
