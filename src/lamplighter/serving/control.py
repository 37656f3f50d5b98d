"""The control plane: models, feedback, health, metrics, pages. A FastAPI application beside the hot route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import lamplighter
from lamplighter.core.errors import LamplighterError
from lamplighter.core.registry import did_you_mean
from lamplighter.monitor import dashboard
from lamplighter.serving import bodies, errors, feedback, metrics, openapi, pages
from lamplighter.serving.errors import ClientGoneError, RequestError
from lamplighter.serving.metrics import Metrics
from lamplighter.serving.model import ServedModel
from lamplighter.serving.responses import LOGGED

Models = dict[str, ServedModel]


def create_control(models: Models, numbers: Metrics, max_body: int, ready: Callable[[], str]) -> FastAPI:
    """All routes but the hot one.

    Args:
        models: by name, in the order given to the server.
        numbers: shown at ``/metrics``.
        max_body: bytes of a feedback body.
        ready: ``"ready"``, or the word that says why not.
    """
    app = FastAPI(
        title="Lamplighter", version=lamplighter.__version__, docs_url=None, redoc_url=None, openapi_url="/openapi.json"
    )
    _handle_errors(app)
    _add_models(app, models, numbers)
    _add_feedback(app, models, max_body)
    _add_health(app, models, numbers, ready)
    _add_pages(app, models)
    _describe(app, models)
    return app


def _handle_errors(app: FastAPI) -> None:
    async def known(_: Request, error: Exception) -> Response:
        assert isinstance(error, LamplighterError)
        return _json_error(*errors.describe(error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path
        message = f"no such page: {path}; GET /docs lists them" if error.status_code == 404 else str(error.detail)
        headers = tuple((k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items())
        if error.status_code == 405:
            message = f"{request.method} is not allowed at {path}"
        return _json_error(error.status_code, {"error": {"message": message}}, headers)

    async def bug(request: Request, error: Exception) -> Response:
        request.scope[LOGGED] = True
        return _json_error(*errors.describe_bug(error))

    app.add_exception_handler(Exception, bug)
    app.add_exception_handler(LamplighterError, known)
    app.add_exception_handler(HTTPException, http)


def _add_models(app: FastAPI, models: Models, numbers: Metrics) -> None:
    def find(name: str) -> ServedModel:
        if name not in models:
            known = ", ".join(models)
            raise RequestError(f"no model '{name}' here{did_you_mean(name, list(models))}; models: {known}", 404)
        return models[name]

    @app.get("/v1/models", tags=["models"], summary="List the models")
    async def list_models() -> dict[str, Any]:
        return {"models": [_summary(model) for model in models.values()]}

    @app.get("/v1/models/{name}", tags=["models"], summary="One model: its inputs, answers and test scores")
    async def one_model(name: str) -> dict[str, Any]:
        model = find(name)
        manifest = model.manifest.model_dump(
            mode="json", include={"created", "signature", "output", "metrics", "parity"}
        )
        return {**_summary(model), **manifest}

    @app.api_route(
        "/v1/models/{name}/predict",
        methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
    )
    async def unknown_model(name: str) -> None:
        # Requests for a model that is here never come this far: the hot route has them.
        numbers.unknown_model()
        find(name)

    @app.get("/models/{name}", include_in_schema=False)
    def dashboard(name: str) -> Response:
        model = find(name)
        if model.monitor is None:
            raise RequestError(f"monitoring of '{name}' is off; GET /v1/models/{name} describes the model", 404)
        return HTMLResponse(model.monitor.page())

    @app.get("/models/{name}/monitor.json", tags=["monitor"], summary="The numbers behind the dashboard")
    def snapshot(name: str) -> dict[str, Any]:
        model = find(name)
        if model.monitor is None:
            raise RequestError(f"monitoring of '{name}' is off", 404)
        return model.monitor.snapshot()


def _add_feedback(app: FastAPI, models: Models, max_body: int) -> None:
    item = openapi.FEEDBACK_ITEM
    schema = {"anyOf": [item, {"type": "array", "minItems": 1, "items": item}]}
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}

    @app.post(
        "/v1/feedback",
        tags=["monitor"],
        summary="Join late labels to predictions",
        responses=openapi.error_responses(),  # type: ignore[arg-type]
        openapi_extra=body,
    )
    async def send_feedback(request: Request) -> dict[str, Any]:
        """One object or a list of them; the answer counts joined and unknown ids and names the state of each."""
        headers = dict(request.scope["headers"])
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media_type != b"application/json":
            # A browser sends other types across origins without asking; this one it does not.
            raise RequestError("send Content-Type: application/json", 415)
        try:
            content = bodies.parse_json(await bodies.read_body(request.receive, headers, max_body))
        except ClientGoneError:
            return {}
        return await asyncio.to_thread(feedback.join, feedback.parse(content, models), models)


def _add_health(app: FastAPI, models: Models, numbers: Metrics, ready: Callable[[], str]) -> None:
    @app.head("/health/live", include_in_schema=False)
    @app.get("/health/live", tags=["health"], summary="Whether the process answers")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.head("/health/ready", include_in_schema=False)
    @app.get("/health/ready", tags=["health"], summary="Whether requests should be sent here")
    async def is_ready(response: Response) -> dict[str, Any]:
        status = ready()
        response.status_code = 200 if status == "ready" else 503
        return {"status": status, "models": list(models)}

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics", response_class=Response)
    def show_metrics() -> Response:
        return Response(numbers.render(), media_type=metrics.CONTENT_TYPE)


def _add_pages(app: FastAPI, models: Models) -> None:
    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    def home() -> Response:
        only = next(iter(models.values())) if len(models) == 1 else None
        if only is not None and only.monitor is not None:
            return HTMLResponse(only.monitor.page())
        return HTMLResponse(pages.models_page(list(models.values())))

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        url = str(request.base_url).rstrip("/")
        return HTMLResponse(pages.docs_page(app.openapi(), list(models.values()), url))

    @app.get("/static/server.css", include_in_schema=False)
    async def style() -> Response:
        return Response(pages.STYLE, media_type="text/css")

    @app.get("/static/server.js", include_in_schema=False)
    async def script() -> Response:
        return Response(pages.SCRIPT, media_type="text/javascript")

    app.mount("/static/monitor", StaticFiles(directory=dashboard.STATIC))


def _describe(app: FastAPI, models: Models) -> None:
    """Add the hot routes to the OpenAPI document; it is made once."""
    own = app.openapi()
    hot = {f"/v1/models/{model.name}/predict": openapi.predict_path(model) for model in models.values()}
    own["paths"] = {**hot, **own["paths"]}
    own.setdefault("components", {}).setdefault("schemas", {})["Error"] = openapi.ERROR_SCHEMA
    app.openapi_schema = own


def _summary(model: ServedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": model.version,
        "kind": model.manifest.output.kind,
        "labels": list(model.manifest.output.labels),
        "targets": list(model.manifest.output.targets),
        "predict": f"/v1/models/{model.name}/predict",
        "monitored": model.monitor is not None,
    }


def _json_error(status: int, content: dict[str, Any], headers: tuple[errors.Header, ...]) -> Response:
    extra = {name.decode(): value.decode() for name, value in headers}
    return JSONResponse(content, status_code=status, headers=extra)
