"""Which of the package's extras brings a library, for whoever meets its absence."""

from datascaler.errors import ConfigError

WORKER = (
    *("torch", "torchvision", "open_clip", "cv2", "matplotlib", "mup", "obstore", "onnxruntime", "safetensors"),
    *("simplejpeg", "webdataset"),
)
"""What the extra `worker` brings, by the names under which it is imported."""
_INSTALL = "pip install 'datascaler[worker]'"


def require_worker() -> None:
    """Refuse, before anything is read, where a library of the workers is not installed. None is imported."""
    from importlib.util import find_spec

    missing = [library for library in WORKER if find_spec(library) is None]
    if missing:
        raise ConfigError(f"this needs {missing[0]}, which is not installed: {_INSTALL}")


def what_is_missing(error: ImportError) -> ConfigError | None:
    """What it means for the user that a library of the workers is missing or broken; None for any other import."""
    library = (error.name or "").partition(".")[0]
    if library not in WORKER:
        return None
    if isinstance(error, ModuleNotFoundError) and error.name == library:
        return ConfigError(f"this needs {library}, which is not installed: {_INSTALL}")
    return ConfigError(f"{library} is installed, but can't be loaded ({error}): install it again, {_INSTALL}")
