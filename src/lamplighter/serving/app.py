"""The ASGI application: bundles in, the hot route and the control plane out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lamplighter.core import recipe
from lamplighter.core.errors import ServingError
from lamplighter.serving.control import create_control
from lamplighter.serving.drift_metrics import families
from lamplighter.serving.metrics import Metrics
from lamplighter.serving.model import ServedModel, warm_up
from lamplighter.serving.predict import PredictRoute
from lamplighter.serving.responses import PageHeaders, Receive, Scope, Send
from lamplighter.serving.settings import settings_of

if TYPE_CHECKING:
    from lamplighter.bundle.runtime import Bundle
    from lamplighter.monitor.service import Monitor


def create_app(
    bundles: Sequence[Bundle],
    *,
    overrides: Sequence[str] = (),
    monitoring: bool = True,
    store_url: str | None = None,
) -> App:
    """An ASGI application serving some bundles, each with the settings of its own recipe.

    Args:
        bundles: at least one, each of another name.
        overrides: ``serve.max_batch=64`` and the like, on top of every bundle's recipe.
        monitoring: keep records and raise alarms.
        store_url: SQLAlchemy URL of the monitor's store; ``None``: ``monitor.store``, or a SQLite file beside each
            bundle.

    Raises:
        ServingError: no bundle, or two of one name.
        RecipeError: a wrong override.
        MonitorError: the store cannot be opened.
    """
    names = [bundle.manifest.name for bundle in bundles]
    if not names:
        raise ServingError("no bundle to serve; give the path of at least one")
    for name in names:
        if names.count(name) > 1:
            raise ServingError(f"two bundles are named '{name}'; serve one of them, or export one under another name")
    settings = [settings_of(bundle.manifest, overrides) for bundle in bundles]
    metrics = Metrics()
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="preprocess")
    models: list[ServedModel] = []
    for bundle, (limits, _) in zip(bundles, settings):
        warm_up(bundle, limits.max_batch)
    try:
        for bundle, (limits, watching) in zip(bundles, settings):
            watcher = watch(bundle, watching, store_url) if monitoring else None
            models.append(ServedModel(bundle, limits, watcher, metrics, pool))
    except BaseException:
        for model in models:
            if model.monitor is not None:
                _close(model.monitor)
        raise
    metrics.watch(lambda: families(models))
    return App(models, metrics, pool)


def watch(bundle: Bundle, settings: recipe.Monitor, store_url: str | None) -> Monitor:
    """The monitor of one bundle, with its store open."""
    from lamplighter.monitor import Monitor, open_store

    folder = bundle.path.absolute()
    beside = folder.with_name(f"{folder.name.removesuffix('.zip')}.monitor.sqlite")
    store = open_store(store_url or settings.store or f"sqlite:///{beside}")
    return Monitor(bundle.manifest, bundle.reference, settings, store)


def _close(monitor: Monitor) -> None:
    monitor.close()
    monitor.store.close()


class App:
    """Sends each request to the hot route of its model or to the control plane.

    Attributes:
        models: in the order given.
        status: ``"starting"``, ``"ready"``, ``"draining"`` or ``"stopped"``; all but ``"ready"`` make readiness a 503.
    """

    def __init__(self, models: Iterable[ServedModel], metrics: Metrics, pool: ThreadPoolExecutor) -> None:
        self.models = list(models)
        self.status = "starting"
        self._pool = pool
        max_body = max(model.max_body for model in self.models)  # of feedback, which may be about any of them
        control = create_control({model.name: model for model in self.models}, metrics, max_body, lambda: self.status)
        self._control = PageHeaders(control, self._draining)
        self._hot = {f"/v1/models/{model.name}/predict": PredictRoute(model, self._draining) for model in self.models}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            route = self._hot.get(scope["path"], self._control)
            await route(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    def drain(self) -> None:
        """Say "not ready" from now on, and ask clients to close their connections with their next answer."""
        if self.status != "stopped":
            self.status = "draining"

    async def start(self) -> None:
        """Start computing. Called by the server through ASGI's lifespan."""
        loop = asyncio.get_running_loop()
        for model in self.models:
            model.batcher.start(loop)
        self.status = "ready"

    async def stop(self) -> None:
        """Finish what was admitted, then flush and close the monitors."""
        self.drain()
        for model in self.models:
            await model.batcher.stop()
        self._pool.shutdown()
        for model in self.models:
            if model.monitor is not None:
                await asyncio.to_thread(_close, model.monitor)
        self.status = "stopped"

    def _draining(self) -> bool:
        return self.status != "ready"

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return
