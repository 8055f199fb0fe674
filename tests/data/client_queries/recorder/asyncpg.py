"""What asyncpg asks: connecting, and types that it does not know."""
import asyncio
import sys
sys.path.pop(0)  # this file has the module's name
import asyncpg


async def _connect():
    return await asyncpg.connect(database="tarn")


def connect():
    async def ask():
        await (await _connect()).close()
    asyncio.run(ask())


def array_column():
    async def ask():
        c = await _connect()
        await c.fetch("SELECT tags, payload, ref FROM raw.tx")
        await c.close()
    asyncio.run(ask())


def introspect():
    async def ask():
        c = await _connect()
        await c._introspect_types([1009, 2205], 10)
        await c.close()
    asyncio.run(ask())


def reset():
    async def ask():
        c = await _connect()
        await c.reset()
        await c.close()
    asyncio.run(ask())


globals()[sys.argv[1]]()
