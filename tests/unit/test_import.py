"""Importing is fast: slow modules are loaded at their first use."""

import json
import subprocess
import sys

HEAVY = {
    "openai",
    "langchain_openai",
    "langchain_together",
    "genai_prices",
    "yaml",
    "dotenv",
    "xllamacpp",
    "rich",
    "typer",
}


def modules(*statements: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after `statements`."""
    code = "; ".join([*statements, "import json, sys", "print(json.dumps(list(sys.modules)))"])
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(out.stdout))


def test_the_package_itself_loads_almost_nothing() -> None:
    assert not {m for m in modules("import moa_graph") if m.startswith(("langgraph", "langchain_core", "pydantic"))}


def test_the_builder_loads_little_more_than_langgraph_does() -> None:
    bare = modules("import langgraph.graph")
    ours = modules("from moa_graph import create_moa")
    assert not {m.partition(".")[0] for m in ours} & HEAVY - {m.partition(".")[0] for m in bare}
    foreign = {m for m in ours - bare if not m.startswith("moa_graph")}
    assert len(foreign) < 0.05 * len(bare), sorted(foreign)


def test_the_command_line_does_not_load_the_command_line_of_httpx() -> None:
    asked = ["import sys", "sys.argv = ['moa', '--version']", "import moa_graph.cli", "moa_graph.cli.main()"]
    code = "; ".join([*asked, "import httpx, json", "print(json.dumps([m for m in sys.modules if m == 'pygments']))"])
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
