"""From `package.module:attribute` to the object it names, or one sentence about why there is none."""

import difflib
import importlib
import sys
from pathlib import Path
from typing import Any

from poller.errors import ConfigurationError
from poller.frames import of_traceback, user_place


def import_target(target: str, form: str = "python") -> Any:
    """The object that `package.module:attribute` names; the attribute may be dotted (`app:Orders.handle`).
    `form` is what stands before it in FunctionName.

    The working directory comes first on sys.path from now on, as with `python -m`: a daemon is started in the
    folder that holds the user's code. Raises ConfigurationError, whatever the module does while it is imported.
    """
    name, _, attribute = target.partition(":")
    if not all(part.isidentifier() for part in (*name.split("."), *attribute.split("."))):
        raise ConfigurationError(f"{form}:{target} is not of the form {form}:package.module:attribute.")
    value = _import_module(name, f"{form}:{target}")
    path = name
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError as error:
            text = f"{form}:{target}: {path} has no {part!r}{_meant(part, value)}."
            raise ConfigurationError(text) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module may compute its attributes
            raise _broken(f"{form}:{target}", name, error) from error
        path = f"{path}.{part}"
    return value


def _import_module(name: str, target: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()  # the file may be younger than the import system's view of its folder
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise _broken(target, name, error) from error  # the module is there, one that it imports is not
        within = (
            f" in the package {missing.rpartition('.')[0]!r}" if "." in missing else f" in {here} or installed"
        )
        raise ConfigurationError(
            f"{target}: there is no module {missing!r}{within}; start poller in the folder that holds it,"
            " or put that folder on PYTHONPATH."
        ) from error
    except KeyboardInterrupt:  # of whoever waits for it
        raise
    except BaseException as error:
        raise _broken(target, name, error) from error


def _broken(target: str, name: str, error: BaseException) -> ConfigurationError:
    place = user_place(of_traceback(error.__traceback__))
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}:{error.lineno}"
        text: str = error.msg
    else:
        text = told(error)
    return ConfigurationError(
        f"{target}: importing {name!r} failed at {place}: {type(error).__name__}{f': {text}' if text else ''}."
    )


def told(error: BaseException) -> str:
    """`str(error)` of an error that is not ours: even that may raise, or return no text."""
    try:
        return str(error).encode("utf-8", "replace").decode()
    except BaseException:  # noqa: BLE001 - a class of the user's may do anything here, and none of it counts
        return "(the exception's own text cannot be had: its __str__ fails)"


def _meant(name: str, owner: Any) -> str:
    public = [known for known in dir(owner) if not known.startswith("_")]
    similar = difflib.get_close_matches(name, public, n=1)
    return f"; did you mean {similar[0]!r}?" if similar else ""
