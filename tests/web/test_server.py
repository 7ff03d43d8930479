"""Pages are told the state, shown every picture with what is said of it, and sent home with a reason."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from livecam.web.encoding import H264, to_encode
from livecam.web.messages import Hello
from livecam.web.pages import Page
from livecam.web.publishing import Channel, Encoded, Publisher
from livecam.web.server import WebOptions, WebServer
from tests.web.client import grey, level_of, page


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer(WebOptions(port=0)) as server:
        yield server


def decoded(codec: str, payload: memoryview) -> av.VideoFrame:
    decoder = av.CodecContext.create({"h264": "h264", "jpeg": "mjpeg"}[codec], "r")
    (picture,) = decoder.decode(av.Packet(bytes(payload))) + decoder.decode(None)
    return picture


@pytest.mark.parametrize("codec", ["h264", "jpeg"])
def test_a_picture_travels_with_what_is_said_of_it(server: WebServer, codec: str) -> None:
    async def scenario() -> None:
        async with page(server, decodes=[codec]) as client:
            for level in (40, 90, 200):
                server.publish(1, grey(level), {"classes": [{"label": str(level), "score": 0.5}], "latency_ms": 10.0})
                server.flush(5)
                header, payload = await client.picture()
                assert header["classes"] == [{"label": str(level), "score": 0.5}]
                if codec == "jpeg" or header["key"]:
                    shown = decoded(codec, payload)
                    assert (shown.width, shown.height) == (header["width"], header["height"]) == (64, 48)
                    assert (
                        abs(shown.to_ndarray(format="rgb24").mean() - grey(level).to_ndarray(format="rgb24").mean()) < 3
                    )
            assert (header["source"], header["sequence"], header["age_frames"]) == (1, 2, 0)
            assert header["latency_ms"] >= 10 and header["camera_sequence"] is None

    asyncio.run(scenario())


@pytest.mark.parametrize("space", [1, 5])
@pytest.mark.parametrize("codec", ["h264", "jpeg"])
def test_colours_survive(server: WebServer, codec: str, space: int) -> None:
    red = np.full((48, 64, 3), (200, 40, 60), np.uint8)
    picture = av.VideoFrame.from_ndarray(red, "rgb24").reformat(format="yuv420p", dst_colorspace=space)
    picture.colorspace, picture.color_primaries = space, 5

    async def scenario() -> None:
        async with page(server, decodes=[codec]) as client:
            server.publish(0, picture, {})
            _, payload = await client.picture()
        shown = decoded(codec, payload)
        source_space = shown.colorspace if codec == "h264" else 5
        rgb = shown.reformat(format="rgb24", src_colorspace=source_space).to_ndarray()
        assert abs(rgb.reshape(-1, 3).mean(0) - (200, 40, 60)).max() < 6
        assert codec == "jpeg" or shown.color_primaries == 5

    asyncio.run(scenario())


def test_published_pictures_are_not_written_to(server: WebServer) -> None:
    picture = grey(50)
    picture.pts, picture.time_base = 7, Fraction(1, 30)

    async def scenario() -> None:
        async with page(server) as client:
            server.publish(0, picture, {})
            await client.picture()

    asyncio.run(scenario())
    assert (picture.pts, picture.time_base, int(picture.pict_type)) == (7, Fraction(1, 30), 0)


def test_a_page_that_comes_late_is_shown_the_last_picture_again(server: WebServer) -> None:
    async def scenario() -> None:
        server.publish(0, grey(10), {})
        server.publish(0, grey(60), {"age_frames": 3})
        async with page(server) as client:
            header, payload = await client.picture()
            assert (header["key"], header["sequence"], header["age_frames"]) == (True, 1, 3)
            assert abs(level_of(decoded("h264", payload)) - 60) < 3

    asyncio.run(scenario())


def test_a_page_that_lost_its_way_gets_a_key_frame(server: WebServer) -> None:
    async def scenario() -> None:
        async with page(server) as client:
            server.publish(0, grey(10), {})
            assert (await client.picture())[0]["key"]
            server.publish(0, grey(20), {})
            assert not (await client.picture())[0]["key"]
            await client.tell(type="key", source=0)
            header, _ = await client.picture()
            assert (header["key"], header["sequence"]) == (True, 1)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("size", "sent"), [((65, 49), (64, 48)), ((64, 48), (64, 48)), ((1, 1), (2, 2)), ((3840, 2160), (2560, 1440))]
)
def test_pages_get_even_sides_that_are_not_too_long(size: tuple[int, int], sent: tuple[int, int]) -> None:
    picture = to_encode(grey(120, *size))
    assert (picture.width, picture.height) == sent
    assert level_of(picture) == 120


def test_captions_of_small_pictures_can_be_read() -> None:
    drawn = np.full((180, 320), 100, np.uint8)
    caption = "tabby cat 87.3%, tiger cat 12.1%, Egyptian cat 0.5%"
    for bottom in range(12, 180, 12):
        cv2.putText(drawn, caption, (2, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255)
    picture = grey(0, 320, 180)
    np.frombuffer(picture.planes[0], np.uint8).reshape(180, -1)[:, :320] = drawn
    payload, _ = H264(picture)(picture, is_key=True)
    shown = decoded("h264", memoryview(payload)).to_ndarray()[:180]
    assert np.abs(shown.astype(int) - drawn).mean() < 3


def test_pages_of_one_source_share_the_encoding(server: WebServer) -> None:
    async def scenario() -> None:
        async with page(server, page="a") as first, page(server, page="b") as second, page(server, page="c") as third:
            server.publish(0, grey(10), {})
            pictures = [await client.picture() for client in (first, second, third)]
            assert pictures[0] == pictures[1] == pictures[2]

    asyncio.run(scenario())


@pytest.mark.parametrize(("interval_seconds", "is_key"), [(1000.0, False), (0.0, True)])
def test_key_frames_that_pages_ask_for_have_an_interval(
    monkeypatch: pytest.MonkeyPatch, interval_seconds: float, is_key: bool
) -> None:
    monkeypatch.setattr("livecam.web.publishing._KEY_INTERVAL_SECONDS", interval_seconds)
    channel = Channel(0)
    channel.wants_key = True
    channel.put(grey(1), {})
    assert channel.take()[1]
    channel.wants_key = True
    channel.put(grey(2), {})
    assert channel.take()[1] == is_key


def test_nothing_is_encoded_while_no_page_looks() -> None:
    encoded: list[Encoded] = []
    publisher = Publisher(encoded.append)
    thread = threading.Thread(target=publisher.run)
    thread.start()
    for level in range(5):
        publisher.put(0, grey(level), {})
        publisher.flush(5)
    assert encoded == []
    publisher.look(["jpeg"])
    publisher.put(0, grey(9), {})
    publisher.flush(5)
    publisher.close()
    thread.join()
    assert encoded[-1].codec == "jpeg" and b'"sequence": 5' in encoded[-1].message


def test_a_new_page_gets_the_state_and_the_labels_only_once(server: WebServer) -> None:
    async def scenario() -> None:
        server.set_state({"model": "one", "labels": ["a", "b"], "sources": [{"name": "x"}]})
        async with page(server) as client:
            state = await client.text("state")
            assert (state["model"], state["labels"]) == ("one", ["a", "b"])
            server.set_state({"model": "two", "labels": ["a", "b"]})
            state = await client.text("state")
            assert state["model"] == "two" and "labels" not in state
            server.set_state({"model": "three", "labels": ["c"]})
            assert (await client.text("state"))["labels"] == ["c"]

    asyncio.run(scenario())


def test_the_newest_state_arrives_and_not_each(server: WebServer) -> None:
    async def scenario() -> None:
        async with page(server) as client:
            for number in range(1000):
                server.set_state({"number": number})
            states = [await client.text("state")]
            while states[-1]["number"] < 999:
                states.append(await client.text("state"))
            assert len(states) < 10

    asyncio.run(scenario())


def test_a_state_that_is_no_json_is_an_error_of_the_run(server: WebServer) -> None:
    with pytest.raises(TypeError):
        server.set_state({"score": np.float32(1)})


def test_without_x264_pages_get_jpeg(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.codecs_available", {"mjpeg"})

    async def scenario() -> None:
        async with page(server, decodes=["h264", "jpeg"]) as client:
            server.publish(0, grey(10), {})
            assert (await client.picture())[0]["codec"] == "jpeg"

    asyncio.run(scenario())


def test_commands_and_answers(server: WebServer) -> None:
    async def scenario() -> None:
        async with page(server) as client:
            await client.tell(type="set", method="layercam", layer=None, target=None, threshold="auto", top=None)
            await client.tell(type="do", command="step")
            await client.tell(type="ping", sent_ms=12.5)
            assert (await client.text("pong"))["sent_ms"] == 12.5
            assert server.commands() == [
                {"type": "set", "method": "layercam", "layer": None, "target": None, "threshold": "auto", "top": None},
                {"type": "do", "command": "step"},
            ]
            assert server.commands() == []
            server.answer("method layercam")
            assert (await client.text("answer"))["text"] == "method layercam"

    asyncio.run(scenario())


def test_all_pages_are_told_why_it_ends_even_if_one_does_not_read(server: WebServer) -> None:
    before = threading.active_count() - 2

    async def scenario() -> None:
        async with page(server, page="deaf"), page(server) as client:
            for level in range(30):
                server.publish(0, grey(level, 640, 480), {})
                await client.picture()
            server.set_state({"shown": 29})
            server.set_state({"shown": 30})
            closing = asyncio.create_task(asyncio.to_thread(server.close, "interrupted"))
            assert (await client.text("bye"))["reason"] == "interrupted"
            states = [text["shown"] for text in client.texts if text["type"] == "state"]
            assert states[-1] == 30
            assert await client.close_code() == 1001
            await closing

    asyncio.run(scenario())
    assert threading.active_count() <= before
    server.publish(0, grey(1), {})  # what is still on its way when the run ends does no harm
    server.set_state({})
    server.answer("")
    server.close("again")


def test_a_failure_of_the_encoder_ends_the_run(server: WebServer) -> None:
    async def scenario() -> None:
        async with page(server):
            with pytest.raises(AttributeError):
                for _ in range(100):
                    server.publish(0, None, {})  # type: ignore[arg-type]
                    server.flush(0.05)

    asyncio.run(scenario())


class Sent:
    """Stands in for a socket."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    async def send_bytes(self, message: bytes) -> None:
        self.messages.append(message)

    async def ping(self) -> None:
        pass


def slow_page(sent: Sent, wanted: list[int]) -> Page:
    hello = Hello(token="", page="", role="viewer", decodes=("h264",), captured=0, dropped=0)
    return Page(hello, sent, wanted.append, lambda: None)  # type: ignore[arg-type]


def test_pictures_that_did_not_arrive_are_followed_by_no_more_than_some() -> None:
    async def scenario() -> None:
        sent, wanted = Sent(), []
        slow = slow_page(sent, wanted)
        writing = asyncio.create_task(slow.write())
        for number in range(100):
            slow.offer(Encoded(0, "h264", number == 0, bytes([number])))
            await asyncio.sleep(0)
        assert sent.messages == [bytes([number]) for number in range(4)] and wanted == []
        slow.confirm()
        await asyncio.sleep(0.01)
        assert wanted == [0]
        slow.offer(Encoded(0, "h264", False, b"p"))
        slow.offer(Encoded(0, "h264", True, b"key"))
        slow.offer(Encoded(0, "h264", False, b"q"))
        await asyncio.sleep(0.01)
        assert sent.messages[4:] == [b"key", b"q"]  # one more than before may be under way
        writing.cancel()

    asyncio.run(scenario())


def test_a_key_frame_takes_the_place_of_what_waits_of_its_source() -> None:
    slow = slow_page(Sent(), [])
    slow.offer(Encoded(1, "h264", True, b"of another"))
    for is_key in (True, False, False, True):
        slow.offer(Encoded(0, "h264", is_key, b""))
    assert slow.waiting == 2


def test_if_pictures_arrive_late_fewer_are_sent_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.web.pages._LATE_SECONDS", -1.0)

    async def scenario() -> None:
        sent = Sent()
        slow = slow_page(sent, [])
        writing = asyncio.create_task(slow.write())
        for number in range(4):
            slow.offer(Encoded(0, "jpeg", True, bytes([number])))
            await asyncio.sleep(0)
        for number in range(4, 20):
            slow.confirm()
            slow.offer(Encoded(0, "jpeg", True, bytes([number])))
            await asyncio.sleep(0.001)
            assert number < 8 or len(sent.messages) == number - 2  # one under way, one that waits
        writing.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize("fails", ["deliver", "_take"])
def test_an_error_of_the_server_is_told(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    def fail(*arguments: object) -> None:
        raise ValueError("a mistake")

    async def scenario() -> None:
        async with page(server) as client:
            monkeypatch.setattr(f"livecam.web.service.Service.{fails}", fail)
            server.publish(0, grey(40), {})
            server.flush(5)
            server.publish(0, grey(90), {})
            server.flush(5)
            await client.tell(type="ping", sent_ms=1)
            if fails == "_take":
                await client.close_code()

    asyncio.run(scenario())
    server.close("the test is over")
    told = [record.getMessage() for record in caplog.records if record.name == "livecam"]
    assert told == ["the page's server: unexpected ValueError: a mistake"]
