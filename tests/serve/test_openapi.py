"""The Agent Server reads the docstrings of mounted routes as OpenAPI: ours are plain text, which it leaves out."""

from starlette.schemas import SchemaGenerator

from moa_graph.serve.app import create_app
from moa_graph.serve.catalogue import Catalogue


def test_no_docstring_of_a_route_is_taken_for_openapi() -> None:
    app = create_app(Catalogue.of(["local"]))
    found = SchemaGenerator({}).get_endpoints(app.routes)
    assert {"/moa/run", "/v1/chat/completions"} <= {each.path for each in found}
    for each in found:
        assert SchemaGenerator({}).parse_docstring(each.func) == {}, each.path
