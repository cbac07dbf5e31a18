"""What botocore finds out anew for each session and client, though it stays the same: that is most of what they
cost. Here it is found out once a process.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import botocore.hooks
from botocore.hooks import EventAliaser, HierarchicalEmitter
from botocore.loaders import JSONFileLoader, Loader


def find_out_once(put: Callable[[Any, str, Any], None]) -> None:
    """By `put(where, name, what)`, which replaces it there: the models of the services, which services there are,
    the aliases of their events, and the one flag for which it takes the signature of each of its handlers apart.
    """
    read = functools.cache(JSONFileLoader().load_file)
    aliased = functools.cache(EventAliaser(HierarchicalEmitter())._alias_event_name)
    looked_for = Loader.list_available_services
    looked_at = botocore.hooks.accepts_kwargs
    found: dict[tuple[str, ...], list[str]] = {}

    def services(self: Loader, type_name: str) -> list[str]:
        key = (*self.search_paths, type_name)
        if key not in found:
            found[key] = looked_for(self, type_name)
        return found[key]

    def accepts(function: Any) -> Any:
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        return looked_at(function) if code is None else code.co_flags & inspect.CO_VARKEYWORDS

    put(JSONFileLoader, "load_file", lambda self, file_path: read(file_path))
    put(EventAliaser, "_alias_event_name", lambda self, event_name: aliased(event_name))
    put(Loader, "list_available_services", services)
    put(botocore.hooks, "accepts_kwargs", accepts)
