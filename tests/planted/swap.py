"""Which functions of a loaded module a mutant changes, where it changes nothing else: their code is then put in
the place of the old one, and neither the module nor what has imported it has to be loaded again.
"""

import functools
import inspect
from types import CodeType, FunctionType, ModuleType

Swap = tuple[FunctionType, CodeType]


def swaps(module: ModuleType, before: str, after: str, path: str) -> list[Swap] | None:
    """The functions and their new code; None where something else differs too, as a constant, a default, or a
    function that one of them makes.
    """
    try:
        changed = _changed(compile(before, path, "exec"), compile(after, path, "exec"))
    except (SyntaxError, ValueError):
        return None
    found = [(_function(module, old), new) for old, new in changed or ()]
    if changed is None or any(function is None for function, _ in found):
        return None
    fits = all(len(function.__code__.co_freevars) == len(new.co_freevars) for function, new in found if function)
    return [(function, new) for function, new in found if function] if fits else None


def _changed(old: CodeType, new: CodeType) -> list[tuple[CodeType, CodeType]] | None:
    """The functions in the body of a module or class that differ; None where the body itself does."""
    if (old.co_code, old.co_names, len(old.co_consts)) != (new.co_code, new.co_names, len(new.co_consts)):
        return None
    changed = []
    for was, now in zip(old.co_consts, new.co_consts, strict=True):
        if not (isinstance(was, CodeType) and isinstance(now, CodeType)):
            if type(was) is not type(now) or was != now:
                return None
        elif was != now and was.co_flags & inspect.CO_OPTIMIZED:
            if _inner(was) != _inner(now):
                return None  # those that it has made and given away go on as they were
            changed.append((was, now))
        elif was != now:
            inner = _changed(was, now)
            if inner is None:
                return None
            changed += inner
    return changed


def _inner(code: CodeType) -> list[CodeType]:
    """The functions and lambdas that a function makes; comprehensions are gone when it ends."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return [one for one in inner if one.co_name == "<lambda>" or not one.co_name.startswith("<")]


def _function(module: ModuleType, code: CodeType) -> FunctionType | None:
    """The module's function that has this code."""
    *around, name = code.co_qualname.split(".")
    place: object = module
    for one in around:
        place = vars(place).get(one)
        if place is None:
            return None
    found = vars(place).get(name)
    if isinstance(found, functools.cached_property):
        candidates = [found.func]
    elif isinstance(found, property):
        candidates = [found.fget, found.fset]
    else:
        candidates = [getattr(found, "__func__", found)]
    functions = [inspect.unwrap(one) for one in candidates if callable(one)]
    return next((one for one in functions if isinstance(one, FunctionType) and one.__code__ == code), None)
