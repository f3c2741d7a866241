"""Write the README's list of files: every source file with the first sentence of its docstring or opening comment."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- files -->\n", "<!-- /files -->\n"
OTHERS = {
    "Makefile": "The commands: setup, check, test, test-slow, demo, e2e, images, bench-NAME, lock.",
    "pyproject.toml": "Dependencies (base, worker, dev) and the settings of the tools.",
    "requirements.lock": "Every dependency with its hashes; names no index. Made by `make lock`.",
    ".pre-commit-config.yaml": "The hooks, all from .venv.",
    ".ci/run": "What CI runs.",
    "CHANGELOG.md": "What changed for users.",
    "CONTRIBUTING.md": "How we work on this.",
    "LICENSE": "Apache-2.0.",
    "docs/architecture.md": "How it is built, on one page.",
    "docs/dataset.md": "A plan in a training loop of your own, open_clip's for one.",
    "docs/selection.md": "How a subset is selected: rules, ties, mixes of scores, and what it costs.",
    "benchmarks/README.md": "What each benchmark proves.",
    "docs/images.md": "The container images: how they are built, what they hold, what was measured.",
    "docs/log.md": "What was tried, and what came out.",
    ".dockerignore": "What a build of images does not see.",
    "docker/Dockerfile": "The images: targets launcher and worker.",
    **{
        f"docker/{name}.lock": "Hashes; made by scripts/lock_images."
        for name in ("build", "helm", "launcher", "worker")
    },
    "k8s/README.md": "Who may do what, who installs what, and how the examples are made.",
    **{
        f"charts/{chart}/README.md": "What the chart makes, and its values."
        for chart in ("datascaler", "datascaler-run")
    },
    **{f"charts/{chart}/Chart.yaml": "Name and version." for chart in ("datascaler", "datascaler-run")},
    **{f"charts/{chart}/values.schema.json": "What values may be." for chart in ("datascaler", "datascaler-run")},
    **{f"charts/{chart}/templates/NOTES.txt": "What helm says after it." for chart in ("datascaler", "datascaler-run")},
    "charts/datascaler/templates/_helpers.tpl": "Names, labels, and what a schema can't say.",
    "charts/datascaler/templates/defaults.yaml": "The ConfigMap whose values every run starts from.",
    "charts/datascaler/templates/localqueue.yaml": "Kueue's queue.",
    "charts/datascaler/templates/networkpolicy.yaml": "Who may talk to the pods.",
    "charts/datascaler/templates/rbac.yaml": "What researchers and a pipeline's driver may do.",
    "charts/datascaler/templates/resourcequota.yaml": "What the namespace may use.",
    "charts/datascaler/templates/serviceaccounts.yaml": "Whom pods run as.",
    "charts/datascaler/templates/tests/doctor.yaml": "What `helm test` asks.",
}
_JSON = {"recorded": "Single answers of a real API server, and its refusals, recorded by tests/cluster/record.py."}
"""By folder."""


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text()
    updated = with_files(text)
    if "--check" in sys.argv and updated != text:
        sys.exit("README.md: the list of files is out of date; run `python scripts/update_readme.py`")
    readme.write_text(updated)


def with_files(readme: str) -> str:
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + listing() + END + tail


def listing() -> str:
    lines = ["```"]
    for folder, files in sorted(_by_folder().items()):
        width = max(len(path.name) for path in files)
        lines.append(f"{folder}/" if folder != "." else "./")
        lines += [f"  {path.name:<{width}}  {first_sentence(path)}" for path in files]
    return "\n".join([*lines, "```", ""])


def first_sentence(path: Path) -> str:
    name = str(path.relative_to(ROOT))
    if name in OTHERS:
        return OTHERS[name]
    if path.suffix in (".py", ".pyi"):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
    elif path.suffix == ".json":
        return _JSON.get(path.parent.name, "An architecture, as open_clip's config.")
    elif path.suffix == ".tpl" or "templates" in path.parts:
        text = " ".join(re.findall(r"/\* (.*?) \*/", path.read_text(), re.DOTALL)[:1])
    else:
        text = "\n".join(re.findall(r"^# (?!shellcheck)(.*)$", path.read_text(), re.MULTILINE)[:2])
    sentence = re.split(r"(?<=[.!?])\s|:\n|\n\n", text.strip())[0]
    return " ".join(sentence.split())


def _by_folder() -> dict[str, list[Path]]:
    paths = [ROOT / name for name in OTHERS]
    paths += [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    for top in ("src", "tests", "benchmarks"):
        paths += [path for suffix in ("py", "pyi", "json", "yml") for path in (ROOT / top).rglob(f"*.{suffix}")]
    paths += [path for path in (ROOT / "docker").iterdir() if path.suffix in ("", ".py")]
    for top in ("charts", "k8s"):
        paths += [path for suffix in ("yaml", "tpl") for path in (ROOT / top).rglob(f"*.{suffix}")]
    folders: dict[str, list[Path]] = {}
    for path in sorted(set(paths)):
        # Empty package markers say nothing.
        if path.read_text().strip():
            folders.setdefault(str(path.parent.relative_to(ROOT)), []).append(path)
    return folders


if __name__ == "__main__":
    main()
