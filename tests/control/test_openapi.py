import json
import re
from pathlib import Path
from typing import Any

import msgspec
from starlette.routing import Route

from supervisor.control.app import build
from supervisor.control.closing import Closing
from supervisor.control.openapi import document
from supervisor.control.reference import markdown
from tests.control.fakes import FakeFleet, served

REFERENCE = Path(__file__).parents[2] / "docs/reference/api.md"


async def test_every_route_is_described_and_nothing_else(fleet: FakeFleet) -> None:
    app = build(fleet, Closing())
    served_routes = {
        (route.path, method)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(path, method.upper()) for path, methods in document()["paths"].items() for method in methods}
    assert served_routes == described
    assert len(described) == 19


async def test_it_is_served(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        assert json.loads(await client.get_raw("/v1/openapi.json")) == json.loads(msgspec.json.encode(document()))


def test_every_reference_leads_somewhere() -> None:
    text = msgspec.json.encode(document()).decode()
    names = set(re.findall(r"#/components/schemas/([^\"]+)", text))
    assert names <= set(document()["components"]["schemas"])
    assert {"InstanceView", "ErrorBody", "Names", "LaunchRecord", "ExitRecord", "FleetDiff"} <= names


def test_operations_have_names_of_their_own_and_errors() -> None:
    operations: list[dict[str, Any]] = [one for path in document()["paths"].values() for one in path.values()]
    identities = [one["operationId"] for one in operations]
    assert len(set(identities)) == len(identities)
    assert document()["paths"]["/v1/reload"]["post"]["responses"].keys() == {"200", "400", "408", "413", "422"}
    assert document()["paths"]["/v1/instances/{name}"]["get"]["parameters"][0]["in"] == "path"


def test_reference_page_is_the_generated_one() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == markdown(), (
        "write it anew: python -m supervisor.control.reference > docs/reference/api.md"
    )
