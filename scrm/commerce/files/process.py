"""Big files are read in a process of their own: parsing and preparing take one core, writing the other."""

import asyncio
import gc
import marshal
import pickle
import struct
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import IO, Any

from scrm.commerce.connectors import KNOWN_HEADINGS, Connector
from scrm.commerce.connectors.reader import Line, Scratch, Sheet, open_sheet
from scrm.commerce.connectors.status_words import Seen
from scrm.commerce.files.prepared import packed, unpacked
from scrm.commerce.files.reading import Bad, Chunk, Reading, read_chunks
from scrm.errors import Invalid, ScrmError

# Below this many bytes starting a process costs more than it brings.
WORTH_A_PROCESS = 2_000_000
_LENGTH = struct.Struct(">I")


async def chunks_of(
    reading: Reading, connector: Connector, paths: Sequence[Path], sheets: list[Sheet], folder: Path, name: str
) -> AsyncGenerator[Chunk]:
    """The chunks of a file, read ahead by one while the caller writes."""
    if sum(path.stat().st_size for path in paths) >= WORTH_A_PROCESS:
        async with aclosing(_from_process(reading, connector, paths)) as chunks:
            async for chunk in chunks:
                yield chunk
        return
    iterator = read_chunks(reading, connector, sheets, folder, name)
    try:
        following = asyncio.create_task(asyncio.to_thread(next, iterator, None))
        while (read := await following) is not None:
            following = asyncio.create_task(asyncio.to_thread(next, iterator, None))
            yield read
    finally:
        if not following.done():
            await asyncio.wait([following])
        iterator.close()  # type: ignore[attr-defined] # it is a generator


async def _from_process(reading: Reading, connector: Connector, paths: Sequence[Path]) -> AsyncGenerator[Chunk]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scrm.commerce.files.process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert process.stdin is not None  # noqa: S101 - asked for above
    assert process.stdout is not None  # noqa: S101
    try:
        # Through the pipe and not the command line, which everybody on the machine can read.
        process.stdin.write(pickle.dumps((reading, connector, [str(path) for path in paths])))
        await process.stdin.drain()
        process.stdin.close()
        following = asyncio.create_task(_frame(process.stdout))
        while (chunk := await following) is not None:
            following = asyncio.create_task(_frame(process.stdout))
            yield chunk
        await process.wait()
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await following
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _frame(stream: asyncio.StreamReader) -> Chunk | None:
    """The next chunk, None at the end; raises what the process said was wrong."""
    try:
        (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
        kind, *values = marshal.loads(await stream.readexactly(length))  # noqa: S302 - from our own process
    except asyncio.IncompleteReadError:
        raise ScrmError("读取文件的进程中断了（可能内存不足）；再运行一次会从中断处继续") from None
    if kind == "invalid":
        raise Invalid(values[0])
    if kind == "failed":
        raise ScrmError(f"读取文件时出错（{values[0]}）")
    return _chunk(values) if kind == "chunk" else None


def _chunk(values: list[Any]) -> Chunk:
    share, good, bad, strange = values
    return Chunk(
        share,
        unpacked(good),
        [Bad(tuple(map(Line._make, lines)), tuple(map(Line._make, details)), reason) for lines, details, reason in bad],
        {text: Seen._make(seen) for text, seen in strange.items()},
    )


def _flat(chunk: Chunk) -> tuple[Any, ...]:
    bad = [(tuple(map(tuple, one.lines)), tuple(map(tuple, one.details)), one.reason) for one in chunk.bad]
    strange = {text: tuple(seen) for text, seen in chunk.strange.items()}
    return ("chunk", chunk.share, packed(chunk.good), bad, strange)


def main() -> None:
    """Read what standard input asks for; write frames to standard output until the file ends or nobody listens."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    reading, connector, paths = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - from our own process
    out = sys.stdout.buffer
    try:
        for values in _frames(reading, connector, [Path(path) for path in paths]):
            _write(out, values)
    except BrokenPipeError:
        sys.stderr.close()


def _frames(reading: Reading, connector: Connector, paths: list[Path]) -> Iterator[tuple[Any, ...]]:
    try:
        with Scratch() as scratch:
            sheets = [
                open_sheet(path, KNOWN_HEADINGS | connector.headings | reading.own.headings(), scratch)
                for path in paths
            ]
            for chunk in read_chunks(reading, connector, sheets, scratch.path):
                yield _flat(chunk)
    except Invalid as error:
        yield ("invalid", str(error))
    except BrokenPipeError:
        raise
    except Exception as error:
        yield ("failed", f"{type(error).__name__}: {error}"[:300])
    else:
        yield ("end",)


def _write(out: IO[bytes], values: tuple[Any, ...]) -> None:
    frame = marshal.dumps(values)
    out.write(_LENGTH.pack(len(frame)))
    out.write(frame)
    out.flush()


if __name__ == "__main__":
    main()
