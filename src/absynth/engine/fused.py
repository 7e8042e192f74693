"""Whole Langevin chains on fully connected log densities in one C++ function (``fused.cpp``).

The function is built with the machine's own compiler at first use and kept in a cache folder. It serves log densities
of the form  c·‖x‖² + Σ energies + Σ Gaussian log likelihoods  whose networks are linear layers with (leaky) ReLU or
tanh between them: the prior and the posterior of a latent EBM with fully connected networks. Its noise is drawn by
``noise_like`` step by step, as everywhere, so a chain agrees with eager to rounding.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from absynth.engine.affine import Linear
from absynth.engine.arithmetic import Add, Power, Scale, Sum
from absynth.engine.ops import Op
from absynth.engine.plan import Plan, noises
from absynth.engine.pointwise import Pointwise
from absynth.engine.shapes import Reshape
from absynth.engine.trace import Ref, Refused
from absynth.files import file_digest, sync
from absynth.types import Rng

FLAGS = "-O3 -march=native -std=c++17 -ffp-contract=fast -fno-math-errno -fno-trapping-math -shared -fPIC -pthread"
NOISE_BYTES = 1 << 24  # noise drawn ahead at a time


@dataclass
class Layer:
    """One linear layer and the activation after it."""

    linear: Linear
    activation: int = 0
    slope: float = 0.0


@dataclass
class Term:
    """A network of x, with a constant gradient at its end (``row``) or a residual (``data``)."""

    layers: list[Layer]
    factor: float
    row: Tensor | None = None
    data: Tensor | None = None


class Fused:
    """A plan in the form that the C++ function takes.

    Raises:
        Refused: the log density is of another form.
    """

    def __init__(self, plan: Plan) -> None:
        self.quadratic = 0.0
        self.terms: list[Term] = []
        self.made: dict[int, Op] = {out.index: op for op, out in plan.ops}
        self._open(plan.out, 1.0)
        if not self.terms:
            raise Refused("it holds no network")

    def _open(self, ref: Ref, g: float) -> None:
        """Follow a part of the log density whose gradient is the number g back to networks and squares of x."""
        op = self.made.get(ref.index)
        if isinstance(op, Add):
            for side, factor in ((op.a, 1.0), (op.b, op.factor)):
                if isinstance(side, Ref):
                    if side.shape != op.shape:
                        raise Refused("a part of it is broadcast")
                    self._open(side, g * factor)
        elif isinstance(op, Reshape):
            self._open(op.inputs[0], g)
        elif isinstance(op, Sum) or (isinstance(op, Scale) and isinstance(op.factor, float)):
            self._open(op.inputs[0], g * float(op.factor))
        elif isinstance(op, Power) and op.exponent == 2:
            self._square(op.inputs[0], g)
        elif isinstance(op, Linear) and op.weight.shape[0] == 1:
            layers = self._layers(op.inputs[0])
            self.terms.append(Term(layers, g, row=op.weight.detach()[0]))
        else:
            raise Refused("a part of it is not fully connected")

    def _square(self, ref: Ref, g: float) -> None:
        if ref.index == 0:
            self.quadratic += 2 * g
            return
        op = self.made[ref.index]
        if not (isinstance(op, Add) and abs(op.factor) == 1.0 and len(op.inputs) == 1):
            raise Refused("a part of it is not fully connected")
        # (data − out)² or (out − data)²: the gradient at out is 2g(out − data); (out + data)² has −data there.
        data = op.b if isinstance(op.a, Ref) else op.a
        if not isinstance(data, Tensor) or data.shape != ref.shape or op.inputs[0].shape != ref.shape:
            raise Refused("its data has another shape than its network's output")
        data = -data if op.factor == 1.0 else data
        self.terms.append(Term(self._layers(op.inputs[0]), 2 * g, data=data.flatten(1)))

    def _layers(self, ref: Ref) -> list[Layer]:
        layers: list[Layer] = []
        activation = (0, 0.0)
        while ref.index != 0:
            op = self.made[ref.index]
            if isinstance(op, Reshape) and op.inputs[0].shape[0] == op.shape[0]:
                pass
            elif isinstance(op, Linear) and len(op.shape) == 2:
                layers.insert(0, Layer(op, *activation))
                activation = (0, 0.0)
            elif isinstance(op, Pointwise) and op.name in _ACTIVATIONS and activation[0] == 0:
                activation = (_ACTIVATIONS[op.name], op.fusible[1][0] if op.name == "leaky_relu" else 0.0)  # type: ignore[index]
            else:
                raise Refused("a part of it is not fully connected")
            ref = op.inputs[0]
        if not layers or activation[0]:
            raise Refused("a part of it is not fully connected")
        return layers

    def langevin(self, x: Tensor, drift: float, noise_scales: Sequence[float], rng: Rng) -> Tensor:
        """x moved by len(noise_scales) Langevin steps."""
        library = build()
        move = library.chain_float32 if x.dtype == torch.float32 else library.chain_float64
        x = x.detach().clone(memory_format=torch.contiguous_format)
        keep: list[object] = []

        def pointer(t: Tensor | None) -> int | None:
            if t is None:
                return None
            t = t.detach().to(x.dtype).contiguous()
            keep.append(t)
            return t.data_ptr()

        terms = (_Term * len(self.terms))()
        for term, made in zip(terms, self.terms):
            layers = (_Layer * len(made.layers))()
            keep.append(layers)
            for layer, m in zip(layers, made.layers):
                n_out, n_in = m.linear.weight.shape
                bias = pointer(m.linear.bias)
                layer.weight = pointer(m.linear.weight)
                layer.bias, layer.n_in, layer.n_out = bias, n_in, n_out
                layer.activation, layer.slope = m.activation, m.slope
            term.layers, term.n_layers, term.factor = ctypes.addressof(layers), len(layers), made.factor
            term.row, term.data = pointer(made.row), pointer(made.data)
        threads = min(torch.get_num_threads(), len(x))
        ahead = max(1, NOISE_BYTES // max(x.numel() * x.element_size(), 1))
        for first in range(0, len(noise_scales), ahead):
            scales = noise_scales[first : first + ahead]
            noise = list(noises(x, scales, rng, NOISE_BYTES))
            chain = _Chain(
                ctypes.addressof(terms), len(terms), len(x), math.prod(x.shape[1:]), len(scales), threads,
                self.quadratic, drift,
                ctypes.addressof(scale_array := (ctypes.c_double * len(scales))(*scales)),
                ctypes.addressof(noise_array := (ctypes.c_void_p * len(scales))(
                    *(None if e is None else e.data_ptr() for e in noise)
                )),
                x.data_ptr(),
            )  # fmt: skip
            move(ctypes.byref(chain))
            del scale_array, noise_array  # they had to live until here
        return x


_ACTIVATIONS = {"relu": 1, "leaky_relu": 1, "tanh": 2}


class _Layer(ctypes.Structure):
    _fields_ = [
        ("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p),
        ("n_in", ctypes.c_int64), ("n_out", ctypes.c_int64), ("activation", ctypes.c_int64),
        ("slope", ctypes.c_double),
    ]  # fmt: skip


class _Term(ctypes.Structure):
    _fields_ = [
        ("layers", ctypes.c_void_p), ("n_layers", ctypes.c_int64), ("row", ctypes.c_void_p), ("data", ctypes.c_void_p),
        ("factor", ctypes.c_double),
    ]  # fmt: skip


class _Chain(ctypes.Structure):
    _fields_ = [
        ("terms", ctypes.c_void_p), ("n_terms", ctypes.c_int64), ("batch", ctypes.c_int64), ("dim", ctypes.c_int64),
        ("steps", ctypes.c_int64), ("threads", ctypes.c_int64), ("quadratic", ctypes.c_double),
        ("drift", ctypes.c_double), ("noise_scales", ctypes.c_void_p), ("noise", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
    ]  # fmt: skip


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "absynth" / "engine"


@lru_cache(maxsize=1)
def build() -> ctypes.CDLL:
    """The C++ functions, compiled if this machine has not done so before.

    Raises:
        Refused: there is no compiler, or it fails. (Not cached: a later call tries again.)
    """
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    if compiler is None:
        raise Refused("there is no C++ compiler")
    source = resources.files("absynth.engine").joinpath("fused.cpp").read_bytes()
    try:
        version = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=60).stdout
        name = hashlib.sha256(repr((source, FLAGS, version, _processor())).encode()).hexdigest()[:16]
        try:
            target = _folder() / f"fused-{name}.so"
            if not _intact(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                    _keep(_compile(compiler, source, Path(folder)), target)
            return ctypes.CDLL(str(target))
        except (OSError, RuntimeError):  # a home that cannot be read or written, or none: for this process alone
            with tempfile.TemporaryDirectory(prefix="absynth-") as folder:
                return ctypes.CDLL(str(_compile(compiler, source, Path(folder))))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"the C++ chain could not be built: {error}") from error


def _compile(compiler: str, source: bytes, folder: Path) -> Path:
    made = folder / "fused.so"
    (folder / "fused.cpp").write_bytes(source)
    command = [compiler, *FLAGS.split(), "-o", str(made), str(folder / "fused.cpp")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise Refused(f"{compiler} failed: {' '.join(done.stderr.split())[:120]}")
    return made


def _keep(made: Path, target: Path) -> None:
    """Move a library into the cache with its digest beside it, both synced before they are renamed."""
    aside = made.with_suffix(".sha256")
    aside.write_text(file_digest(made))
    for file in (made, aside):
        sync(file)
    made.replace(target)
    aside.replace(target.with_suffix(".sha256"))


def _intact(target: Path) -> bool:
    """Whether the cached library is what its digest says: to load one that was cut short kills the process."""
    try:
        return target.with_suffix(".sha256").read_text() == file_digest(target)
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def _processor() -> str:
    """What ``-march=native`` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return " ".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
