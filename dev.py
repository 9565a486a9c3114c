"""Sets up, runs and checks the project with nothing but Python 3.11 or newer: `python3 dev.py demo|test`."""

import hashlib
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python should say so, not fail on a line below
    sys.exit("dev.py：需要 Python 3.11 或更新，现在是 %s；请换用 python3.11 运行" % sys.version.split()[0])  # noqa: UP031

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

# Each has a PostgreSQL and now and then a browser of its own.
TEST_PROCESSES = 4
IN_ONE_PROCESS = ("-n", "-k", "-m", "-p", "-s", "--pdb", "--trace", "--co", "--lf", "--sw")

USAGE = """用法：python3 dev.py 命令 [参数]

  demo [--port N]     起一个完整的演示：企业微信沙箱、客户手机、员工聊天窗口、管理后台
  test [pytest 参数]  跑全部测试：单元、SQLite、真实的 PostgreSQL、真实的浏览器
  check [--fix]       代码格式、静态检查、类型、分层规则（--fix 自动修正格式）
  serve [参数]        按 config/scrm.toml 启动服务
  bench | load | chaos [参数]   性能对比、压力、故障测试（只在本机）
  assets [--watch]    只构建前端资源
  setup               只安装，不启动"""


class SetupError(Exception):
    """Something that the person at the terminal has to mend; the message is one line and says how."""


def main(args: list[str]) -> int:
    """Do the set-up that is still missing, then run the command; its exit code passes through."""
    command, rest = (args[0], args[1:]) if args else ("", [])
    if command in ("", "-h", "--help", "help"):
        print(USAGE)
        return 0 if command else 2
    if command not in COMMANDS:
        print(f"dev.py：没有命令 {command}，可用的有 {' '.join(COMMANDS)}", file=sys.stderr)
        return 2
    # Images set it to stay small; here each of a run's hundred processes would compile a thousand modules anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        make_venv()
        install(*EXTRAS.get(command, ()))
        return COMMANDS[command](rest)
    except SetupError as error:
        print(f"dev.py：{error}", file=sys.stderr)
        return 1


# Set-up -------------------------------------------------------------------------------------------------------------


def make_venv() -> None:
    """Make .venv unless a working one is there."""
    if works(PYTHON):
        return
    say(f"创建虚拟环境 .venv（Python {sys.version.split()[0]}）")
    if VENV.exists():
        shutil.rmtree(VENV)
    for attempt in (("venv",), ("virtualenv", "-q")):
        if subprocess.run([sys.executable, "-m", *attempt, VENV], capture_output=True).returncode == 0:
            return
    shutil.rmtree(VENV, ignore_errors=True)
    if pip_from_outside():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise SetupError(
        f"这个 Python 不能创建虚拟环境：Debian/Ubuntu 请先运行 apt-get install python{version}-venv，再重试"
    )


def pip_from_outside() -> bool:
    """A venv without pip, filled by the system's pip; for a Debian Python that lacks ensurepip."""
    steps = (("venv", "--without-pip", VENV), ("pip", "-q", "--python", PYTHON, "install", "pip"))
    return all(subprocess.run([sys.executable, "-m", *step], capture_output=True).returncode == 0 for step in steps)


def works(python: Path) -> bool:
    """Whether it starts, is new enough and has pip: a venv breaks when the Python under it goes away."""
    probe = "import sys, importlib.util as u; sys.exit(sys.version_info < (3, 11) or not u.find_spec('pip'))"
    return python.exists() and subprocess.run([python, "-c", probe], capture_output=True).returncode == 0


def install(*extras: str) -> None:
    """Install the project with these extras, once per state of pyproject.toml, and build assets that changed."""
    missing = [extra for extra in ("", *extras) if stamp(extra).read_text() != state()]
    if missing:
        say("安装依赖（第一次约一两分钟）")
        pip("构建工具", *build_requirements())
    build_assets()
    if missing:
        # The build tools are in .venv already, which spares pip from unpacking Node a second time.
        pip("依赖包", "--no-build-isolation", "-e", f".[{','.join(extras)}]" if extras else ".")
        for extra in missing:
            stamp(extra).write_text(state())
        say("安装完成")


def stamp(extra: str) -> Path:
    """The file that keeps the state in which this extra was last installed."""
    path = VENV / f"installed-{extra or 'scrm'}.sha256"
    path.touch()
    return path


def state() -> str:
    """What an installation depends on: the requirements, and the folder, which an editable install points to."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + bytes(ROOT)).hexdigest()


def build_requirements() -> list[str]:
    """What pyproject.toml asks for to build the project."""
    import tomllib

    requires = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    return [str(requirement) for requirement in requires]


def build_assets(*flags: str) -> None:
    """Bring web/static/dist up to date; a tenth of a second when it is."""
    code = call(PYTHON, "-m", "web.build", *flags)
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise SetupError("前端资源没有构建成功：请看上面的原因；若是网络问题，请确认能访问 npm 源后重试")


def pip(title: str, *args: str) -> None:
    """`pip install`, with a sign of life every few seconds and one line when it fails."""
    command = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar=off",
        *args,
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = follow(title, process)
    finally:
        process.terminate()
    if process.returncode:
        detail = VENV / "pip.log"
        detail.write_text("".join(said), encoding="utf-8")
        raise SetupError(f"安装{title}失败（{reason(said)}）：请确认能访问 PyPI 源且磁盘有空间后重试，详情见 {detail}")


def follow(title: str, process: "subprocess.Popen[str]") -> list[str]:
    """Wait for pip, telling every five seconds where it is; returns all that it said."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=pass_on, args=(process.stdout or [], lines), daemon=True).start()
    said: list[str] = []
    started = told = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=1)
            if line is None:
                process.wait()
                return said
            said.append(line)
        except queue.Empty:
            pass
        if time.monotonic() - told >= 5:
            told = time.monotonic()
            say(f"  {title} {told - started:3.0f} 秒  {current(said)}")


def pass_on(source: Iterable[str], lines: "queue.SimpleQueue[str | None]") -> None:
    """Read what pip prints, in a thread, because a pipe cannot be waited for with a time limit everywhere."""
    for line in source:
        lines.put(line)
    lines.put(None)


def current(said: list[str]) -> str:
    """The last thing pip said that names a package, shortened to the terminal's line."""
    telling = [
        line.strip() for line in said if line.startswith(("Collecting", "  Downloading", "Installing", "Building"))
    ]
    return telling[-1].split("(from")[0][:60] if telling else ""


def reason(said: list[str]) -> str:
    """The line of pip's output that says best what went wrong."""
    lines = [line.strip() for line in said if line.strip()]
    signs = (r"ERROR: ", r"\w+Error: ", r"error: ")
    telling = [line for sign in signs for line in lines if re.match(sign, line)]
    return [*telling, *lines[-1:], "pip 没有说明原因"][0][:200]


# Commands -----------------------------------------------------------------------------------------------------------


def setup(args: list[str]) -> int:
    """Everything is installed by now."""
    say("已就绪：python3 dev.py demo 启动演示，python3 dev.py test 运行测试")
    return 0


def demo(args: list[str]) -> int:
    return become("-m", "scrm", "demo", *args)


def serve(args: list[str]) -> int:
    return become("-m", "scrm", "serve", *args)


def test(args: list[str]) -> int:
    """The whole suite in a process for each core; what names a part, or looks closely, in one."""
    in_one = any(not arg.startswith("-") or arg.startswith(IN_ONE_PROCESS) for arg in args)
    processes = min(os.cpu_count() or 1, TEST_PROCESSES)
    side_by_side = () if in_one or processes == 1 else ("-n", str(processes), "--dist", "loadgroup")
    return become("-m", "pytest", *side_by_side, *args)


def chaos(args: list[str]) -> int:
    return become("-m", "pytest", "tests/chaos", *args)


def bench(args: list[str]) -> int:
    return become("-m", "bench", *args)


def load(args: list[str]) -> int:
    return become("-m", "bench.load", *args)


def assets(args: list[str]) -> int:
    build_assets(*args)
    return 0


def check(args: list[str]) -> int:
    """Run every static check, the later ones also when an earlier one fails."""
    if args not in ([], ["--fix"]):
        print(f"dev.py check：不认识的参数 {' '.join(args)}，只接受 --fix", file=sys.stderr)
        return 2
    steps: list[tuple[str, ...]] = [
        ("ruff", "format", *([] if args else ["--check"]), "."),
        ("ruff", "check", *(["--fix"] if args else []), "."),
        ("mypy",),
        ("lint-imports",),
        ("deptry", "."),
    ]
    failed = [step[0] for step in steps if announced(*step)]
    say(f"未通过：{'、'.join(failed)}" if failed else "检查全部通过")
    return 1 if failed else 0


def announced(program: str, *args: str) -> int:
    say(" ".join((program, *args)))
    return call(BIN / program, *args)


COMMANDS = {
    "setup": setup,
    "demo": demo,
    "test": test,
    "bench": bench,
    "load": load,
    "chaos": chaos,
    "check": check,
    "serve": serve,
    "assets": assets,
}


EXTRAS = {
    "setup": ("dev",),
    "test": ("dev",),
    "chaos": ("dev",),
    "check": ("dev",),
    "bench": ("dev", "bench"),
    "load": ("dev", "bench"),
}


def become(*args: str) -> int:
    """Go on as .venv's Python in the project's folder, so that signals and the exit code are the program's own."""
    os.chdir(ROOT)
    sys.stdout.flush()
    if os.name != "nt":
        os.execv(PYTHON, [str(PYTHON), *args])
    return call(PYTHON, *args)


def call(*command: str | Path) -> int:
    """Run in the project's folder and wait for the exit code."""
    return subprocess.run(command, cwd=ROOT).returncode


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
