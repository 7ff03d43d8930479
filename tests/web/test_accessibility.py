"""The page by the rules of axe-core, which `make axe` installs with npm; without it this is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from livecam.web.server import WebServer
from tests.support.chromium import Chromium
from tests.web.looking import wait_for_more

AXE = Path(__file__).parents[2] / ".axe" / "node_modules" / "axe-core" / "axe.min.js"
FAULTS = "axe.run().then(({violations}) => violations.map(({id, impact, nodes}) => [id, impact, nodes[0].html]))"


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed; make axe installs it")
@pytest.mark.parametrize(
    ("width", "height", "looks"), [(1280, 800, {}), (1280, 800, {"dark": True}), (390, 844, {"phone": True})]
)
def test_axe_finds_no_fault(
    chromium: Chromium, camera_server: WebServer, width: int, height: int, looks: dict[str, bool]
) -> None:
    with chromium.open(camera_server.url) as page:
        page.appear(width=width, height=height, **looks)
        wait_for_more(page)
        page.evaluate(AXE.read_text())
        assert page.evaluate(FAULTS) == []
        page.evaluate("livecam.stop()")
        assert page.evaluate(FAULTS) == []
