"""The wheel holds covend and nothing else, and runs where only its dependencies are."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import covend

ROOT = Path(__file__).parents[1]


def run(*command, cwd=None):
    result = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == 0, f"{command}:\n{result.stdout}\n{result.stderr}"
    return result.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An empty environment with the wheel, which borrows only its dependencies from ours."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", str(python))
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    (packages,) = place.glob("lib/python*/site-packages")
    # A plain line: the .pth files of ours, and with them this working tree, are not followed.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def test_the_wheel_holds_the_package_its_types_and_its_licence_only(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    metadata = f"covend-{covend.__version__}.dist-info/"
    assert {name for name in names if not name.startswith(("covend/", metadata))} == set()
    assert "covend/py.typed" in names
    assert f"{metadata}licenses/LICENSE" in names
    assert not [name for name in names if name.endswith((".pyc", ".sqlite", ".log"))]


def test_every_file_of_the_source_is_in_the_wheel(wheel):
    """Modules, and the web pages that they serve."""
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in ROOT.glob("src/covend/**/*") if path.is_file()]
    source = {path.relative_to(ROOT / "src") for path in files if path.suffix != ".pyc"}
    assert {path.as_posix() for path in source} <= names


def test_the_installed_command_says_its_version(environment):
    assert covend.__version__ in run(str(environment / "covend"), "--version", cwd="/")


def test_the_installed_package_is_the_wheels_own(environment):
    found = run(str(environment / "python"), "-c", "import covend; print(covend.__file__)", cwd="/")
    assert Path(found).is_relative_to(environment.parent)
