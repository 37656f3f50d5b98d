"""ONNX Runtime, set up for a shared machine: few threads, no spinning, nothing reported to anyone."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamplighter.bundle.manifest import Manifest
from lamplighter.core import extras
from lamplighter.core.errors import BundleError, InputError
from lamplighter.data.preprocessing.pipeline import Tensors

_ONNX_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class Session:
    """A network in ONNX Runtime, held to the manifest's signature. Safe to call from several threads.

    Args:
        model: contents of ``model.onnx``. Read from memory, it cannot point to other files.
        manifest: says which tensors go in and which come out.
        threads: compute threads.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        BundleError: the file is no network, or not the one the manifest describes.
    """

    def __init__(self, model: bytes, manifest: Manifest, threads: int = 1) -> None:
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3  # errors; they come as exceptions too
        # Threads that spin while they wait starve their neighbours in a container that is short of processors.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        self._errors = _errors()
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except self._errors as error:
            raise BundleError(f"model.onnx cannot be loaded: {_first_line(error)}") from None
        self._specs = manifest.signature.tensors
        self._outputs = list(manifest.outputs)
        self._check_graph()

    def run(self, tensors: Tensors) -> Tensors:
        """Outputs by name for one batch.

        Args:
            tensors: by name as the signature has them, first dimension rows; others are left alone.

        Raises:
            InputError: a tensor is missing or has another type or shape.
        """
        self._check_tensors(tensors)
        feed = {spec.name: np.ascontiguousarray(tensors[spec.name]) for spec in self._specs}
        try:
            values = self._session.run(self._outputs, feed)
        except self._errors as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in feed.items())
            raise InputError(f"the network cannot compute {shapes}: {_first_line(error)}") from None
        return dict(zip(self._outputs, values))

    def _check_graph(self) -> None:
        found = {i.name: (_ONNX_TYPES.get(i.type, i.type), _shape(i.shape)) for i in self._session.get_inputs()}
        wanted = {spec.name: (spec.dtype, (None, *spec.shape)) for spec in self._specs}
        if found != wanted:
            raise BundleError(f"model.onnx takes {found}, but the manifest says {wanted}")
        present = [output.name for output in self._session.get_outputs()]
        missing = [name for name in self._outputs if name not in present]
        if missing:
            raise BundleError(f"model.onnx has no output '{missing[0]}'; it has {', '.join(present)}")

    def _check_tensors(self, tensors: Tensors) -> None:
        names = [spec.name for spec in self._specs]
        if set(names) - set(tensors):
            raise InputError(f"the network takes the tensors {', '.join(names)}, not {', '.join(tensors) or 'none'}")
        for spec in self._specs:
            array = tensors[spec.name]
            shape = array.shape[1:]
            fits = len(shape) == len(spec.shape) and all(want in (None, got) for want, got in zip(spec.shape, shape))
            if array.dtype != spec.dtype or array.ndim == 0 or not fits:
                wanted = ", ".join(["rows", *("any" if size is None else str(size) for size in spec.shape)])
                raise InputError(
                    f"expected {spec.dtype} of shape ({wanted}), not {array.dtype} of {array.shape}", field=spec.name
                )
        if len({len(tensors[name]) for name in names}) != 1:
            raise InputError(f"tensors differ in rows: { ({name: len(tensors[name]) for name in names}) }")


def _shape(shape: list[Any]) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in shape)


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise extras.missing_extra("onnxruntime", "serve") from None
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _errors() -> tuple[type[Exception], ...]:
    """ONNX Runtime's exceptions have no common base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
