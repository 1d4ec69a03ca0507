"""The page's own small server, for this machine alone: the page, the answers to its pictures, and the load."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib.resources
import io
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from aiohttp import web
from yarl import URL

from resnet50_client.api import CONCURRENCY
from resnet50_client.errors import ClientError, RequestRefused, ServerUnavailable
from resnet50_client.formats import SUFFIXES
from resnet50_client.inspection import DECODING_HERE, Inspection
from resnet50_client.labels import sample_remark
from resnet50_client.page.link import Link
from resnet50_client.page.load import Load

MAX_BYTES = 32 << 20  # of one picture: the server's own default
AT_ONCE = 8  # pictures that are held in memory
INTERVAL_S = 0.25  # between two figures of the load
# Sent by our page with every question. Another site's page cannot send it: the browser would ask us first, in vain.
MARK = "X-Resnet50-Page"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """The page and what it asks for."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Prepare.

        Args:
            options: of AsyncClient, for the server whose answers are shown.
        """
        self._link = Link(options)
        self._html = (importlib.resources.files("resnet50_client.page") / "page.html").read_text("utf-8")
        self._headers = _security_headers(self._html)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._picture = _first_picture()  # that the load repeats

    def application(self) -> web.Application:
        """For aiohttp to run."""
        application = web.Application(client_max_size=MAX_BYTES, middlewares=[self._guard])
        application.add_routes(
            [
                web.get("/", self._page),
                web.get("/status", self._status),
                web.post("/classify", self._classify),
                web.get("/load", self._load),
            ]
        )
        application.on_cleanup.append(self._close)
        return application

    async def _close(self, _: web.Application) -> None:
        await self._link.close()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer this machine's own page only, and every error in words."""
        if not is_loopback(request.host):  # a name of somebody else that leads to this machine: DNS rebinding
            return _error(403, f"host '{request.host}' is not this machine: open the page as http://127.0.0.1")
        if request.path != "/" and MARK not in request.headers:
            return _error(403, f"only the page itself may ask here (header {MARK})")
        try:
            response = await handler(request)
        except web.HTTPRequestEntityTooLarge:
            response = _error(413, f"the file is larger than {MAX_BYTES >> 20} MiB, the limit: send a smaller one")
        except web.HTTPException as error:
            response = _error(error.status, f"{request.method} {request.path}: {error.reason}".lower())
        except RequestRefused as error:
            response = _error(400, str(error))
        except ServerUnavailable as error:
            response = _error(503, str(error))
        except ClientError as error:
            response = _error(502, str(error))
        if not response.prepared:
            response.headers.update(self._headers)
        return response

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=self._html, content_type="text/html")

    async def _status(self, _: web.Request) -> web.Response:
        async with self._link.client() as client:
            info = await client.describe()
            return web.json_response(
                {
                    "url": info.url,
                    "server": info.server,
                    "cards": info.cards,
                    "xclbins": info.xclbins,
                    "tells_provenance": info.tells_provenance,
                    "sample": sample_remark(client.names),
                    "suffixes": sorted(SUFFIXES),
                }
            )

    async def _classify(self, request: web.Request) -> web.Response:
        async with self._room:
            data = await request.read()
            if not data:
                raise RequestRefused("the file has 0 bytes")
            async with self._link.client() as client:
                inspection = await client.inspect(data)
        self._picture = data
        return web.json_response(_as_json(inspection))

    async def _load(self, request: web.Request) -> web.StreamResponse:
        """A line of JSON every INTERVAL_S; the load ends when the page closes the connection."""
        text = request.query.get("concurrency", "")
        if not (text.isdecimal() and 1 <= int(text) <= CONCURRENCY):
            return _error(400, f"concurrency must be 1 to {CONCURRENCY}, not '{text}'")
        response = web.StreamResponse(headers={**self._headers, "Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        async with Load(self._link, self._picture, int(text)) as load:
            while request.transport and not request.transport.is_closing():
                await asyncio.sleep(INTERVAL_S)
                try:
                    await response.write(json.dumps(load.figures()).encode() + b"\n")
                except ConnectionError:  # the page has gone meanwhile
                    break
        return response


async def serve_page(options: Mapping[str, Any], port: int, on_ready: Callable[[str], None]) -> None:
    """Serve the page on 127.0.0.1 until cancelled.

    Args:
        options: of AsyncClient.
        port: 0 is a free one.
        on_ready: is told the page's URL.

    Raises:
        OSError: the port is in use.
    """
    runner = web.AppRunner(Site(options).application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        on_ready(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def is_loopback(host: str) -> bool:
    """Whether a Host header, with or without a port, names this machine itself."""
    try:
        name = URL(f"http://{host}").host or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _as_json(inspection: Inspection) -> dict[str, Any]:
    prediction = inspection.prediction
    told = prediction.provenance
    return {
        "top": [{"id": c.class_id, "name": c.name, "score": c.score} for c in prediction.top],
        "margin": prediction.margin,
        "latency_ms": 1e3 * (inspection.stages_s.get(DECODING_HERE, 0) + prediction.latency_s),
        "stages_ms": [[name, 1e3 * seconds] for name, seconds in inspection.stages_s.items()],
        "card": told.card if told else None,
        "batch_size": told.batch_size if told else None,
        "xclbin": prediction.xclbin_uuid,
        "decoded_here": inspection.decoded_here,
        "picture": f"data:image/png;base64,{base64.b64encode(_png(inspection.pixels)).decode()}",
    }


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image  # slow to load

    from resnet50_client.formats import png

    return png(Image.fromarray(pixels))


def _first_picture() -> bytes:
    """A JPEG of a usual size, for a load before the first photo."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.effect_noise((500, 375), 60).convert("RGB").save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


def _security_headers(html: str) -> dict[str, str]:
    """Only the page's own script and style run, and nothing is fetched from elsewhere."""

    def hashed(tag: str) -> str:
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    policy = {
        "default-src": "'none'",
        "script-src": hashed("script"),
        "style-src": hashed("style"),
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(self)",
        "Cache-Control": "no-store",
    }
