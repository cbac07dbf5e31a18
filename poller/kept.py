"""The mappings that the control API has left in the state file, for commands that work without the daemon."""

from dataclasses import replace

from poller.config import Configuration
from poller.core.api_answers import Refused
from poller.core.api_changes import own_name, restored
from poller.store.sqlite_mappings import read_mappings


def with_kept(configuration: Configuration) -> Configuration:
    """The configuration with those mappings behind its own, under the names that the daemon gives them; also while
    that runs. What this version cannot run, or is being deleted, is left out. Raises StoreError.
    """
    state = configuration.settings.state
    if not (state.lasting and state.there):
        return configuration
    names = {mapping.name for mapping in configuration.mappings}
    mappings = list(configuration.mappings)
    for kept in read_mappings(state.path):
        draft = restored(kept.fields, kept.uuid)
        if kept.deleting or isinstance(draft, Refused):
            continue
        name = draft.mapping.name
        mappings.append(replace(draft.mapping, name=own_name(name, kept.uuid) if name in names else name))
    return replace(configuration, mappings=tuple(mappings))
