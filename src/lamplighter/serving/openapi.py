"""OpenAPI 3.1 of the hot routes, one path for each model, with schemas made from its signature."""

from __future__ import annotations

from typing import Any

from lamplighter.core.signature import Column
from lamplighter.serving import examples
from lamplighter.serving.bodies import image_column, text_column
from lamplighter.serving.model import ServedModel

_ERRORS = {
    "400": "The body is not valid JSON or not a valid form.",
    "404": "No model of this name.",
    "413": "The body is too large, or has too many rows.",
    "415": "Not an image, or a media type this model does not take.",
    "422": "A row does not fit the model's signature; the answer names row and field.",
    "503": "The queue is full or the server is shutting down; see Retry-After.",
    "504": "The request waited longer than the deadline.",
}
ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": {"type": "string"},
                "row": {"type": "integer", "description": "zero-based index of the row"},
                "field": {"type": "string"},
                "id": {"type": "string", "description": "of an internal error, for the server's log"},
            },
        }
    },
}
FEEDBACK_ITEM = {
    "type": "object",
    "required": ["id"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "description": "of a prediction"},
        "label": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "description": "true class, for classification; the tag of each word, for tagging",
        },
        "value": {"type": "number", "description": "true number, for regression"},
        "values": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "description": "true numbers by target, for regression with several",
        },
        "model": {"type": "string", "description": "name, if several models are served"},
    },
}


def error_responses() -> dict[str, Any]:
    """The answers a client must expect besides 200."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {status: {"description": text, "content": content} for status, text in _ERRORS.items()}


def predict_path(model: ServedModel) -> dict[str, Any]:
    """The path item of one model's predict route."""
    return {
        "post": {
            "operationId": f"predict_{model.name}",
            "tags": ["predictions"],
            "summary": f"Predict with {model.name}, version {model.version}",
            "description": "One prediction for each row, each with an id for later feedback.",
            "requestBody": {"required": True, "content": _request(model)},
            "responses": {
                "200": {
                    "description": "One prediction for each row, in order.",
                    "content": {"application/json": {"schema": _answer(model)}},
                },
                **error_responses(),
            },
        }
    }


def _request(model: ServedModel) -> dict[str, Any]:
    columns = model.signature.inputs
    row_schema: dict[str, Any] = {
        "type": "object",
        "required": [column.name for column in columns if column.required],
        "properties": {column.name: _column(column) for column in columns},
    }
    if text_column(model.signature) is not None:
        row_schema = {"anyOf": [row_schema, _kind(columns[0])]}
    schema = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {"rows": {"type": "array", "minItems": 1, "items": row_schema}},
    }
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": {"rows": [examples.row(model)]}}}
    if image_column(model.signature) is not None:
        binary = {"schema": {"type": "string", "format": "binary"}}
        files = {"type": "array", "items": {"type": "string", "format": "binary"}}
        content |= {"image/*": binary, "application/octet-stream": binary}
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": {"file": files}}}
    if text_column(model.signature) is not None:
        content["text/plain"] = {"schema": {"type": "string", "description": "one text, the whole body"}}
    return content


def _column(column: Column) -> dict[str, Any]:
    schema = _kind(column)
    if column.required:
        return schema
    return {"anyOf": [schema, {"type": "null"}], "description": "may be left out"}


def _kind(column: Column) -> dict[str, Any]:
    if column.kind == "numeric":
        return {"type": "number"}
    if column.kind == "boolean":
        return {"type": "boolean"}
    if column.kind == "date":
        return {"type": "string", "format": "date-time"}
    if column.kind == "category":
        known = ", ".join(column.categories[:20])
        return {"type": "string", "description": f"known values: {known}", "examples": list(column.categories[:5])}
    if column.kind == "image":
        size = " x ".join(map(str, column.shape))
        pixels = {"type": "array", "items": {}, "description": "nested lists (height, width[, channels])"}
        base64 = {"type": "string", "contentEncoding": "base64"}
        return {"description": f"image, brought to {size}" if size else "image", "anyOf": [base64, pixels]}
    if column.kind == "array":
        return {"type": "array", "items": {}, "description": f"nested lists of shape {column.shape}"}
    return {"type": "string"}


def _written(kind: str) -> dict[str, Any]:
    """What answers of models that write have besides a text and its confidence."""
    if kind == "masked-lm":
        fill = {"type": "object", "properties": {"token": {"type": "string"}, "probability": {"type": "number"}}}
        return {"fills": {"type": "array", "items": {"type": "array", "items": fill}}}
    tokens = {"tokens": {"type": "integer", "description": "how many were written"}}
    if kind == "seq2seq":
        return tokens
    return {**tokens, "continuation": {"type": "string"}, "perplexity": {"type": ["number", "null"]}}


def _answer(model: ServedModel) -> dict[str, Any]:
    number = {"type": "number"}
    output = model.manifest.output
    properties: dict[str, Any] = {"id": {"type": "string", "description": "for POST /v1/feedback"}}
    if output.kind == "classification":
        labels = list(output.labels)
        by_label = {"type": "object", "properties": dict.fromkeys(labels, number)}
        properties |= {"label": {"type": "string", "enum": labels}, "confidence": number, "probabilities": by_label}
    elif output.kind == "segmentation":
        by_label = {"type": "object", "properties": dict.fromkeys(output.labels, number)}
        png = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
        mask = {**png, "description": "class indices, at the size of the image that was sent"}
        properties |= {"mask": mask, "shares": by_label, "confidence": number}
    elif output.kind == "tagging":
        text, whole = {"type": "string"}, {"type": "integer"}
        entity = {"type": text, "start": whole, "end": whole, "text": text, "confidence": number}
        properties |= {
            "words": {"type": "array", "items": text},
            "tags": {"type": "array", "items": {"type": "string", "enum": list(output.labels)}},
            "confidences": {"type": "array", "items": number},
            "entities": {"type": "array", "items": {"type": "object", "properties": entity}},
        }
    elif output.kind in ("language-model", "masked-lm", "seq2seq"):
        properties |= {"text": {"type": "string"}, "confidence": number, **_written(output.kind)}
    elif len(output.targets) == 1:
        properties["value"] = number
    else:
        properties["values"] = {"type": "object", "properties": dict.fromkeys(output.targets, number)}
    prediction = {"type": "object", "required": ["id"], "properties": properties}
    return {
        "type": "object",
        "required": ["model", "version", "predictions"],
        "properties": {
            "model": {"const": model.name},
            "version": {"const": model.version},
            "predictions": {"type": "array", "items": prediction},
        },
    }
