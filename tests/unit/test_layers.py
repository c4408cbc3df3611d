"""Who may import whom: from its own layer or below; and each outside library has one home."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: First part of a module's name below ``speechaid``. ``demo`` may import anything.
LAYERS = (
    "errors clock settings protocol data",
    "model",
    "rules compliance",
    "store retell telemetry",
    "dialer campaign",
    "importing",
    "worker follower control control_sockets commands fleet embedded maintenance monitoring",
    "supervisor daemon check service web cli __main__",
    "demo",
)
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names.split()}
HOMES = {
    "pymongo": ("speechaid/store/",),
    "argon2": ("speechaid/store/",),
    "bson": ("speechaid/store/",),
    "certifi": ("speechaid/retell/",),
    "holidays": ("speechaid/compliance/",),
    "dotenv": ("speechaid/settings/",),
    "pydantic_settings": ("speechaid/settings/",),
    "requests": ("speechaid/retell/",),
    "urllib3": ("speechaid/retell/",),
    "fastapi": ("speechaid/web/",),
    "jinja2": ("speechaid/web/page/",),
    "markupsafe": ("speechaid/web/page/",),
    "starlette": ("speechaid/web/",),
    "uvicorn": ("speechaid/web/",),
    "prometheus_client": ("speechaid/telemetry/",),
    "zmq": ("speechaid/control_sockets/tcp.py", "speechaid/protocol/client.py"),
}
FILES = sorted(
    str(path.relative_to(ROOT))
    for name in ("speechaid", "speechctl")
    for path in ROOT.glob(f"{name}/**/*.py")
)


def imports_of(file: str) -> Iterator[str]:
    """Every module that a file imports, at its top or within a function; relative imports do not occur."""
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(part: str) -> int:
    assert part in LAYER_OF, f"{part} has no layer: give it one above"
    return LAYER_OF[part]


@pytest.mark.parametrize("file", FILES)
def test_a_module_imports_from_its_own_layer_or_below(file: str) -> None:
    inside = Path(file).with_suffix("").parts
    for imported in imports_of(file):
        package, _, rest = imported.partition(".")
        target = rest.partition(".")[0]
        if package == "speechctl":
            assert inside[0] == "speechctl" or inside[1] == "demo", f"the daemon imports {imported}"
        elif package != "speechaid" or target in {"", "__version__"}:
            continue
        elif inside[0] == "speechctl":
            assert target == "protocol", f"speechctl knows the protocol alone, not {imported}"
        elif target == "demo":
            assert inside[1] in {"demo", "cli"}, f"only cli imports {imported}"
        elif inside[1] != "__init__":
            assert layer_of(target) <= layer_of(inside[1]), f"{imported} lies above"


@pytest.mark.parametrize("file", FILES)
def test_a_library_is_used_in_its_home_alone(file: str) -> None:
    for imported in imports_of(file):
        homes = HOMES.get(imported.partition(".")[0])
        if homes is not None and not file.startswith("speechaid/demo/"):
            assert file.startswith(homes), f"{imported}: its home is {homes}"


def test_the_rooms_of_the_architecture_page_are_drawn_in_this_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^│ ([a-z_ ]*[a-z_]) +│$", page, re.MULTILINE)
    assert drawn == list(reversed(LAYERS))


def test_the_table_of_contents_imports_nothing() -> None:
    assert list(imports_of("speechaid/__init__.py")) == []
