"""`watch` on pages, end to end: over the real socket a client sees, changes and films, and the ledger adds up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from livecam import Explainer, watch
from livecam.ledger import Ledger
from livecam.live.session import Session
from livecam.web import WebOptions
from tests.web import client
from tests.web.client import Client

IsSo = Callable[[dict[str, Any]], object]
pytestmark = pytest.mark.usefixtures("quick_shapes")


class Watched:
    """A run on pages, in a thread of its own. It has a `url`, as a server has one."""

    def __init__(self, source: str, **options: Any) -> None:
        self._url: Future[str] = Future()
        self._ledgers: Future[list[Ledger]] = Future()
        threading.Thread(target=self._run, args=(source, options)).start()
        self.url = self._url.result(20)

    def _run(self, source: str, options: dict[str, Any]) -> None:
        try:
            web = WebOptions(port=0)
            self._ledgers.set_result(watch(source, self._explainer, window=web, on_url=self._url.set_result, **options))
        except BaseException as exc:
            self._ledgers.set_exception(exc)

    @staticmethod
    def _explainer() -> Explainer:
        return Explainer(engine="eager")

    def ledger(self) -> Ledger:
        """Wait for the end of the run, and return the account of its source."""
        return self._ledgers.result(20)[0]


@contextmanager
def watched(source: str, **options: Any) -> Iterator[Watched]:
    """Watch a source on pages, until the block ends."""
    sessions: list[Session] = []

    class Kept(Session):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            sessions.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("livecam.live.watch.Session", Kept)
        run = Watched(source, **options)
        try:
            yield run
        finally:
            for session in sessions:
                session._stop()
            run.ledger()


async def told(
    page: Client, kind: str, is_so: Callable[[dict[str, Any]], object] = lambda text: True
) -> dict[str, Any]:
    """The next JSON message of this type of which something is so; pictures are left out."""
    while True:
        for text in list(page.texts):
            page.texts.remove(text)
            if text["type"] == kind and is_so(text):
                return text
        await page._next()


async def picture(page: Client, is_so: IsSo = lambda header: True) -> dict[str, Any]:
    """The header of the next picture of which something is so."""
    while not is_so(header := (await page.picture())[0]):
        pass
    return header


def test_pages_see_a_run_and_change_it_for_each_other(tmp_path: Path) -> None:
    async def look(run: Any) -> None:
        async with client.page(run) as one, client.page(run, page="two") as two:
            state = await told(one, "state", lambda state: state["settings"])
            assert state["model"] == "the model"
            assert state["choices"]["layers"][-1]["name"] is None
            assert state["settings"]["target"] is None
            first = await picture(one)
            assert (first["width"], first["height"], first["camera_sequence"]) == (160, 120, None)
            assert first["classes"][0]["label"] == first["best"][0]["label"]
            assert first["best"][0]["label"] in state["labels"]
            await two.tell(type="set", view="side-by-side", threshold=0.3, target="circle,star")
            changed = await picture(one, lambda header: header["width"] == 320 and len(header["classes"]) == 2)
            assert {each["label"] for each in changed["classes"]} == {"circle", "star"}
            state = await told(one, "state", lambda state: state["settings"]["view"] == "side-by-side")
            assert state["settings"] | {"threshold": 0.3, "target": "circle,star", "top": None} == state["settings"]
            await two.tell(type="set", target="unicorn")
            await told(one, "answer", lambda answer: "unicorn" in answer["text"])  # notes of the program come as well
            await told(one, "state", lambda state: state["settings"]["target"] == "circle,star")

    with watched("demo:?size=160x120&fps=50", report=tmp_path / "run.json") as run:
        asyncio.run(look(run))
    assert run.ledger().delivered > 2
    assert run.ledger().is_balanced
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["sources"][0]["frames"]["shown"] == run.ledger().delivered


def test_what_a_page_films_comes_back_with_its_number_and_what_it_dropped_is_counted() -> None:
    frames = client.encoded(*range(40, 160, 3), width=128, height=96)
    headers: list[dict[str, Any]] = []

    async def film(run: Any) -> None:
        async with client.page(run, role="camera") as one:
            await told(one, "state", lambda state: state["settings"])
            await asyncio.gather(send(one), look(one))

    async def send(page: Client) -> None:
        for number, frame in enumerate(frames):
            await page.send_frame(frame, key=number == 0, dropped=number // 2)
            await asyncio.sleep(0.02)

    async def look(page: Client) -> None:
        while not headers or headers[-1]["camera_sequence"] < len(frames) - 1:
            headers.append(await picture(page))

    with watched("browser:") as run:
        asyncio.run(film(run))
    ledger = run.ledger()
    sequences = [header["camera_sequence"] for header in headers]
    assert sequences == sorted(set(sequences))
    assert all(header["captured_ms"] == 40.0 * header["camera_sequence"] for header in headers)
    assert ledger.dropped["browser"] == (len(frames) - 1) // 2
    assert ledger.read == len(frames) + ledger.dropped["browser"]
    assert ledger.delivered == headers[-1]["sequence"] + 1
    assert ledger.is_balanced
