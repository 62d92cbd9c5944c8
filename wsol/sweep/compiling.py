"""Compiled functions, kept on disk for every process and environment of this machine."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import njit
from numba.core import caching

from tdam.files import cache_root

CONFIG: Any = numba.config
OPTIONS: Any = {"nogil": True, "error_model": "numpy"}


def compiled(function: Any) -> Any:
    """Compile into the functions that call it; only those of `kept` are written to disk.

    Each array is handed to a called function as seven numbers, so that a call costs more than many of these functions.
    """
    return njit(**OPTIONS, forceinline=True)(function)


def kept(function: Any) -> Any:
    """Compile, and keep the result in the cache folder; ``NUMBA_CACHE_DIR`` names another one.

    numba would keep it beside the source file, once per environment, and look only at that file to see whether it is
    out of date. Here the name of the folder tells the sources of the whole sweep and the versions; the kind of
    processor is part of numba's own key.
    """
    if CONFIG.DISABLE_JIT:
        return function
    dispatcher: Any = njit(**OPTIONS)(function)
    try:
        folder().mkdir(parents=True, exist_ok=True)
        dispatcher._cache = _Cache(function)
    except OSError as error:
        print(f"the compiled sweep cannot be kept in {folder()} ({error.strerror})", file=sys.stderr)
    return dispatcher


def folder() -> Path:
    """Where the compiled form of these very sources is kept."""
    root = Path(CONFIG.CACHE_DIR) if CONFIG.CACHE_DIR else cache_root() / "compiled"
    versions = f"python{sys.version_info.major}.{sys.version_info.minor}-numba{numba.__version__}-numpy{np.__version__}"
    return root / f"sweep-{versions}-{sources_digest()}"


def sources_digest() -> str:
    """Changes with any source file of the sweep."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def is_compiled() -> bool:
    """Whether an earlier process has kept the compiled form."""
    return bool(CONFIG.DISABLE_JIT) or any(folder().glob("*.nbc"))


class _Locator(caching._CacheLocator):
    """Tells numba the folder; that is all a locator does."""

    def get_cache_path(self) -> str:
        return str(folder())

    def get_source_stamp(self) -> str:
        return sources_digest()

    def get_disambiguator(self) -> str:
        return ""

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Locator:
        return cls()


class _CacheImplementation(caching.CompileResultCacheImpl):
    _locator_classes: Any = (_Locator,)


class _Cache(caching.FunctionCache):
    _impl_class = _CacheImplementation
