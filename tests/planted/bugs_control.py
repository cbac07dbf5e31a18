"""Planted bugs in the control API below HTTP: what is kept, answered and carried out, and in which order."""

from typing import Final

from tests.planted.bug import Bug

_CONTROL = ("tests/unit/test_control.py",)
_RELOAD = ("tests/unit/test_control_reload.py",)
_CHANGES = ("tests/unit/core/test_api_changes.py",)
_LISTS = ("tests/unit/core/test_api_lists.py",)
_STORE = ("tests/contract/test_store_contract.py", "-k", "sqlite")

CONTROL: Final[tuple[Bug, ...]] = (
    Bug(
        "update-cuts-off-what-runs",
        "API-7: a batch under way is given up for a new setting",
        "service.py",
        "        await old.retire(begins)\n",
        "",
        _CONTROL,
    ),
    Bug(
        "changed-mapping-is-creating-again",
        "API-3: whoever waits for an update sees a state that no update has",
        "service.py",
        "new = self.add(mapping, begins=begins)",
        "new = self.add(mapping)",
        _CONTROL,
    ),
    Bug(
        "deletion-without-a-mark",
        "API-10: a kill behind the answer brings the mapping back",
        "control.py",
        "if (no := await self._keep(gone)) is not None:",
        "if self._book.put(gone) is None:",
        _CONTROL,
    ),
    Bug(
        "update-answered-before-it-is-kept",
        "API-7: a kill behind the answer forgets the change",
        "control.py",
        "if (no := await self._keep(changed)) is not None:",
        "if self._book.put(changed) is None:",
        _CONTROL,
    ),
    Bug(
        "two-updates-at-once",
        "API-6: the later one overwrites what the earlier one was promised",
        "control.py",
        "            if self._book.get(uuid) is not entry:\n                return in_use()\n            no =",
        "            no =",
        _CONTROL,
    ),
    Bug(
        "two-creates-at-once",
        "CFG-51: one source is read twice for the same function",
        "control.py",
        "            draft = self._draft(fields, uuid)  # others may have come meanwhile\n",
        "",
        _CONTROL,
    ),
    Bug(
        "not-found-while-it-starts",
        "API-5: Terraform takes the mapping for deleted and makes another",
        "control_keeping.py",
        "        super().__init__(service, account)\n",
        '        super().__init__(service, account)\n        self._away = ""\n',
        _CONTROL,
    ),
    Bug(
        "null-clears",
        "CFG-55: an SDK that sends null takes the setting away",
        "core/api_changes.py",
        "        if value is None:\n            continue\n",
        "        if value is None:\n            merged.pop(name, None)\n            continue\n",
        _CHANGES,
    ),
    Bug(
        "page-without-its-last",
        "API-13: the list goes on behind its end",
        "core/api_lists.py",
        "rest = len(wanted) > most",
        "rest = len(wanted) >= most",
        _LISTS,
    ),
    Bug(
        "positions-outlive-their-mapping",
        "API-10: the rows of what was deleted stay for ever",
        "store/sqlite_mappings.py",
        '    connection.execute("DELETE FROM lease WHERE app = ?", (uuid,))\n',
        "",
        _STORE,
    ),
    Bug(
        "tags-bring-a-change-back",
        "API-6: a change that ended while tags were written is under way for ever",
        "control.py",
        "            entry = self._book[uuid]  # a change may have come to its end meanwhile\n",
        "",
        _CONTROL,
    ),
    Bug(
        "create-in-the-middle-of-a-reload",
        "CFG-51: what the reload has stopped does not come back, or one source is read twice",
        "control_keeping.py",
        "            self._coming = tuple(coming)\n",
        "",
        _RELOAD,
    ),
    Bug(
        "held-mapping-refuses-reloads",
        "CFG-51: a file cannot be changed any more because of what does not run",
        "control_keeping.py",
        " if not self._at_rest(entry) ",
        " ",
        _RELOAD,
    ),
    Bug(
        "broken-handler-is-enabling-for-ever",
        "API-3: after a restart nobody sees that the mapping does not run",
        "control_keeping.py",
        "            self._work.begin(entry)\n",
        "            pass\n",
        _CONTROL,
    ),
    Bug(
        "signature-over-what-a-header-says",
        "API-1: whoever sees a signed request may send another body with it",
        "core/sigv4.py",
        "            sha256(request.body).hexdigest(),",
        '            headers.get("x-amz-content-sha256", sha256(request.body).hexdigest()),',
        ("tests/unit/core/test_sigv4.py",),
    ),
)
