"""How packages come into an environment: by uv from the index that pip is set to, by pip where uv fails."""

import hashlib
import os
import runpy
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / ".ci" / "packages.py"
PACKAGES = runpy.run_path(str(SCRIPT))


def test_uv_asks_where_pip_asks() -> None:
    """The environment comes before a section of a file; other sections and settings are none of install's."""
    told = r"""
:env:.index-url='https://env.test/simple'
:env:.timeout='180'
global.no-color='true'
download.cert='/of/download'
global.cert='/of/all'
global.extra-index-url='https://one.test\nhttps://two.test'
global.find-links='/a /b'
global.index-url='https://global.test/simple'
install.index-url='https://install.test/simple'
install.no-index='true'
"""
    assert PACKAGES["settings"](told) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "https://env.test/simple",
        "UV_INDEX": "https://one.test https://two.test",
        "UV_FIND_LINKS": "/a,/b",
        "UV_NO_INDEX": "true",
        "SSL_CERT_FILE": "/of/all",
        "UV_HTTP_TIMEOUT": "180",
    }


def test_where_uv_would_not_heed_a_setting_pip_does_it() -> None:
    assert PACKAGES["settings"]("global.proxy='http://proxy.test:3128'") is None
    assert PACKAGES["settings"]("download.proxy='http://proxy.test:3128'") is not None


@pytest.mark.parametrize(("by", "right"), [("uv", True), ("pip", True), ("uv", False)])
def test_what_uv_does_not_get_pip_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, *, right: bool
) -> None:
    """A package whose hash is another one, nobody installs. uv's own settings count for nothing, and what
    it has installed is no file of a cache as well, where the next installation would take what was written to it.
    """
    wheel = tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny.py", "SIZE = 1\n")
        file.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        file.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("tiny-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes() if right else b"another").hexdigest()
    pinned = tmp_path / "pinned.txt"
    pinned.write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
    venv.create(tmp_path / "venv")
    python = str(tmp_path / "venv" / "bin" / "python")
    for name in os.environ:
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    # pip is told where to look as users tell it, and uv has to learn it from there.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_QUIET", "1")
    (tmp_path / "uv.toml").write_text(f'[pip]\ntarget = "{tmp_path / "elsewhere"}"\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    if by == "pip":
        monkeypatch.setenv("PIP_PROXY", "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), python, "--require-hashes", "-r", str(pinned)],
        check=False,
        capture_output=True,
    )
    installers = [file.read_text().strip() for file in (tmp_path / "venv").rglob("INSTALLER")]
    assert (done.returncode == 0) == right
    assert installers == ([by if PACKAGES["UV"].exists() else "pip"] if right else [])
    assert [file.stat().st_nlink for file in tmp_path.rglob("tiny.py")] == ([1] if right else [])
