"""Rules of CONTRIBUTING.md that no linter knows: sizes, what no file may hold, what the README promises CI."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".cff", ".json", ".sh", ".cfg", ".ini", ".html", ".ipynb", ""}

MODULE_LINES = 350
FUNCTION_LINES = 60  # with docstring and decorators
CODE_LINES = 45  # without the docstring
CONSTRUCTOR_PARAMETERS = 10

# Bracketed letters keep the patterns from matching themselves.
REGISTRY = re.compile(
    r"pypi[.]org|python[h]osted|registry[.]npmjs|deb[.]debian|download[.]pytorch|--(extra-)?inde[x]-url|--find-link[s]"
)
MACHINE_PATH = re.compile(r"(?<![\w.~$}/-])/(?:work|root|home|Users|opt|mnt|scratch)/[\w.]")
LATER = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X)\b")


@cache
def files() -> tuple[Path, ...]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("these rules are about the repository, and this is not a git clone")
    return tuple(path for path in (ROOT / name for name in sorted(set(listed)) if name) if path.is_file())


def sources() -> list[Path]:
    return [path for path in files() if path.suffix == ".py"]


def texts() -> Iterator[tuple[str, str]]:
    for path in files():
        if path.suffix in TEXT and path.name != "LICENSE":
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT).as_posix()}:{node.lineno} {node.name}", node


def line_counts(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, int]:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    total = (node.end_lineno or first) - first + 1
    docstring = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
    spoken = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return total, total - spoken


def matches(pattern: re.Pattern[str], suffixes: set[str] | None = None) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts()
        if suffixes is None or Path(name).suffix in suffixes
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def readme_block(mark: str) -> str:
    """The one fenced block under an HTML comment."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(rf"^<!-- ci: {mark} -->\n```bash\n(.*?)\n```$", readme, re.M | re.S)
    assert len(found) == 1, f"README.md: expected one block marked 'ci: {mark}', got {len(found)}"
    return found[0]


def test_modules_are_small():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert lengths, "no python file found: the listing is broken"
    long = {str(path.relative_to(ROOT)): count for path, count in lengths.items() if count > MODULE_LINES}
    assert not long, f"modules over {MODULE_LINES} lines, split them: {long}"


def test_functions_are_small_and_constructors_take_few_parameters():
    counts = {name: line_counts(node) for name, node in functions()}
    long = {name: count for name, count in counts.items() if count[0] > FUNCTION_LINES or count[1] > CODE_LINES}
    assert not long, f"functions over {FUNCTION_LINES} lines, or {CODE_LINES} without docstring (all, code): {long}"
    long = {}
    for name, node in functions():
        taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs][1:]
        if node.name == "__init__" and len(taken) > CONSTRUCTOR_PARAMETERS:
            long[name] = len(taken)
    assert not long, f"constructors with over {CONSTRUCTOR_PARAMETERS} parameters: {long}"


def test_counting_sees_decorators_and_docstrings():
    code = '@one\n@two\ndef f():\n    """Say.\n\n    More.\n    """\n    return 1\n'
    function = ast.parse(code).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert line_counts(function) == (8, 4)


def test_public_modules_have_docstrings():
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if not path.name.startswith("_") or path.name == "__init__.py"
        if "tests" not in path.relative_to(ROOT).parts
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent, f"modules without a docstring: {silent}"


def test_no_file_holds_hosts_machine_paths_or_marks_for_later():
    assert not matches(REGISTRY), "files name a package registry or its options; versions alone belong here"
    assert not matches(MACHINE_PATH), "files hold absolute paths of one machine"
    assert not matches(LATER, {".py", ".yaml", ".yml", ".toml", ".sh", ""}), "code holds marks for later; file an issue"


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (REGISTRY, "https://" + "pypi" + ".org/simple"),
        (REGISTRY, "--extra-" + "index-url x"),
        (MACHINE_PATH, "root: " + "/home" + "/me/data"),
        (MACHINE_PATH, 'open("' + "/work" + '/data")'),
        (LATER, "# TO" + "DO: later"),
    ],
)
def test_patterns_find_what_they_are_for(pattern, line):
    assert pattern.search(line)
    for relative in ("../home/x", "$HOME/root/x", "runs/work/x", "weights/root/model"):
        assert not MACHINE_PATH.search(relative)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-demo.txt"])
def test_requirements_are_versions_only(name):
    requirements = pins(name)  # raises for an option, a path or anything else that is no requirement
    assert len(requirements) > 20
    loose = [str(one) for one in requirements if one.url or not re.fullmatch(r"==[\w.!]+", str(one.specifier))]
    assert not loose, f"{name}: expected NAME==VERSION, got {loose}"


def test_dev_and_demo_requirements_hold_the_runtime_ones_and_no_local_builds():
    local = [str(one) for one in pins("requirements-dev.txt") if "+" in str(one.specifier)]
    assert not local, f"pinned to a local build, which no registry has: {local}"
    assert {str(one) for one in pins("requirements.txt")} <= {str(one) for one in pins("requirements-dev.txt")}
    plain, demo = (set(map(str, pins(f"requirements{kind}.txt"))) for kind in ("", "-demo"))
    assert [Requirement(text).name for text in plain - demo] == ["pillow"], "Gradio 6 wants Pillow under 13"


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize(
    ("name", "extra"), [("requirements.txt", None), ("requirements-dev.txt", "dev"), ("requirements-demo.txt", "demo")]
)
def test_requirements_meet_pyproject(name, extra, python):
    project = pyproject()["project"]
    asked = [Requirement(text) for text in project["dependencies"]]
    asked += [Requirement(text) for text in (project["optional-dependencies"][extra] if extra else [])]
    system = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    pinned = {
        one.name.lower().replace("_", "-"): str(one.specifier).removeprefix("==")
        for one in pins(name)
        if one.marker is None or Marker(str(one.marker)).evaluate(system)
    }
    unmet = [str(one) for one in asked if not one.specifier.contains(pinned.get(one.name.lower(), "0"))]
    assert not unmet, f"{name} does not meet pyproject.toml on Python {python}: {unmet}; compile it again"


def test_readme_commands_are_what_ci_runs():
    install, test = readme_block("test").split(" && ")
    assert install == 'pip install -r requirements-dev.txt -e ".[dev]"'
    assert test == "pytest"
    assert readme_block("quickstart").endswith("&& python train.py experiment=quickstart")
    assert "ci: test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_readme_links_lead_somewhere():
    broken = []
    for page in (path for path in files() if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken, f"links to files that are not there: {broken}"


def test_git_ignores_results_and_keeps_sources():
    files()  # skips outside a clone
    kept = ["data/toon_chapters.py", "data/README.md", "colorflow/data/dataset.py", "docs/assets/strip.png"]
    kept.append("colorflow/assets/toon/unet/weights.safetensors")
    ignored = ["runs/quickstart/config.yaml", "outputs/x.png", "data/cache/x.json", "checkpoint.ckpt"]
    ignored += ["elsewhere.safetensors", "wandb/run", ".venv/bin/python"]
    command = ["git", "check-ignore", "--no-index", *kept, *ignored]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ignored
