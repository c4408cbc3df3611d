"""Batches: settings, pause and resume, and the reservation entries of open dials.

``open_dials`` holds one entry ``{key, at}`` per dial of a batch whose calls at a time are limited.
Registering a dial filters on an active batch and on capacity for one more call, so that the database checks
the limit in the write that admits the dial. Settling removes the entry and adds the call's sums in one
update, so that they count exactly once. A batch without a limit has no entries of dials that an account
pays for; its sums come by ``store.batch_sums``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from speechaid.errors import NotFound, StoreError, StoreUnavailable
from speechaid.model.agent_settings import AgentPin
from speechaid.model.batch import Batch
from speechaid.model.reading import ACTIVE_VALUES, Document, text
from speechaid.model.states import Priority
from speechaid.protocol.translation import say
from speechaid.store.edits import field_changes, value_at
from speechaid.store.ranges import StaleEntry, begins, stale_entries, without_residue
from speechaid.store.table import Table, as_stored, ids_from_text

#: ``is_active`` means yes. What cannot be understood means neither yes nor no: not called, and not resumed by
#: ``resume-all``.
ACTIVE = {"$in": list(ACTIVE_VALUES)}
#: Values of ``is_active`` that mean no.
INACTIVE = [False, 0, "false", "False", "0", "no", "off"]
#: A batch that is cancelled is so for good; ``Batch.cancelled`` reads the same.
NOT_CANCELLED: Document = {"cancelled.at": None}
#: Who paused a batch where no operator did: ``pause.by``.
PAUSED_BY_SPEECHAID = "speechaid"
#: What Retell may refuse for a batch alone.
_AGENT_FIELDS = (
    "call_settings.agent_id",
    "call_settings.agent_version",
    "call_settings.from_number",
    "agent_pin.agent_id",
    "agent_pin.version",
)
#: Fields that the fair order of batches and their calling windows need.
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
SELECTION_FIELDS = ("batch_id", "account_id", "is_active", "cancelled", "priority", "call_settings")


class Batches:
    """The batches collection."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self.table = table
        self._now = now

    def new_id(self) -> str:
        """Make a new name in SpeechAI's form: ``batch-YYYYMMDD-8hex``."""
        return f"batch-{self._now():%Y%m%d}-{secrets.token_hex(4)}"

    def create(self, fields: Document) -> str:
        """Insert a batch and return its name, which is made where the fields have none."""
        now = self._now()
        batch_id = str(fields.get("batch_id") or self.new_id())
        counters = dict.fromkeys(
            ("total_jobs", "pending_jobs", "completed_jobs", "failed_jobs", "suspended_jobs"), 0
        )
        self.table.insert(
            {
                "is_active": True,
                "priority": 1,
                "call_settings": {},
                **counters,
                "total_cost": 0.0,
                "total_minutes": 0.0,
                "created_at": now,
                "updated_at": now,
                **fields,
                "batch_id": batch_id,
            }
        )
        return batch_id

    def get(self, batch_id: str) -> Batch:
        """Find a batch by its name.

        Raises:
            NotFound: there is none.
        """
        found = self.find(batch_id)
        if found is None:
            raise NotFound(say("no batch {batch_id}", batch_id=batch_id))
        return found

    def find(self, batch_id: str) -> Batch | None:
        """Find a batch by its name; None where there is none."""
        document = self.table.find_one({"batch_id": batch_id})
        return None if document is None else Batch.read(document)

    def find_by_prefix(self, prefix: str, limit: int = 20, account_id: str | None = None) -> list[str]:
        """Names of batches with this prefix, of one account or of all."""
        of_account = {} if account_id is None else {"account_id": account_id}
        rows = self.table.find(
            begins("batch_id", prefix) | of_account, sort=[("batch_id", 1)], limit=limit, fields=("batch_id",)
        )
        return [str(row["batch_id"]) for row in rows]

    def find_by_name(self, name: str, limit: int, account_id: str | None = None) -> list[str]:
        """Ids of the batches of this name, as typed, sorted; at most ``limit``, of one account or of all."""
        query = {"name": name} if account_id is None else {"name": name, "account_id": account_id}
        rows = self.table.find(query, limit=limit, fields=("batch_id",))
        return sorted(found for row in rows if (found := text(row.get("batch_id"))) is not None)

    def names_by_prefix(self, prefix: str, limit: int) -> list[str]:
        """Names that begin so."""
        rows = self.table.find(begins("name", prefix), sort=[("name", 1)], limit=limit, fields=("name",))
        return [str(row["name"]) for row in rows]

    def of_same_name(self, batch_id: str, name: str, account_id: str | None, limit: int) -> list[str]:
        """Ids of other batches of this name in the account (None: without one), sorted; at most ``limit``."""
        rows = self.table.find(
            {"name": name, "account_id": account_id}, limit=limit + 1, fields=("batch_id",)
        )
        found = sorted(text(row.get("batch_id")) or "" for row in rows)
        return [other for other in found if other and other != batch_id][:limit]

    def among(self, batch_ids: list[str]) -> list[Batch]:
        """Find those of the named batches that exist."""
        return [Batch.read(document) for document in self.table.find({"batch_id": {"$in": batch_ids}})]

    def page(self, name: str, limit: int, *, including: bool) -> list[Batch]:
        """Find at most ``limit`` batches in the order of names, paused ones too, from or after ``name``.

        Only ``SELECTION_FIELDS`` of each are read.
        """
        names = {"$gte" if including else "$gt": name}
        rows = self.table.find(
            {"batch_id": names}, sort=[("batch_id", 1)], limit=limit, fields=SELECTION_FIELDS
        )
        return [Batch.read(row) for row in rows]

    def above_normal_priority(self, limit: int) -> list[Batch]:
        """Find batches above normal priority, highest first, with ``SELECTION_FIELDS``.

        Within a priority, the latest names come first: batches that ended long ago keep their priority, and
        must not displace today's. At most ``limit`` with a number as priority, and as many with a text.
        """
        order = [("priority", -1), ("batch_id", -1)]
        # The priority may be stored as text, and a query never compares text with a number.
        rows = [
            row
            for normal in (Priority.NORMAL, str(Priority.NORMAL.value))
            for row in self.table.find(
                {"priority": {"$gt": normal}}, sort=order, limit=limit, fields=SELECTION_FIELDS
            )
        ]
        return [Batch.read(row) for row in rows]

    def random_name(self) -> str | None:
        """The name of a random batch; None where there is no batch."""
        rows = self.table.aggregate([{"$sample": {"size": 1}}, {"$project": {"batch_id": 1}}])
        return next((text(row.get("batch_id")) for row in rows), None)

    def cancelled_ids(self) -> list[str]:
        """Ids of the cancelled batches."""
        rows = self.table.find({"cancelled.at": {"$gt": _LONG_AGO}}, fields=("batch_id",))
        return [found for row in rows if (found := text(row.get("batch_id"))) is not None]

    def redials_of(self, batch_id: str) -> list[Batch]:
        """Find the batches that call those of this one again."""
        return [Batch.read(document) for document in self.table.find({"redial.of": batch_id})]

    def end_redial(self, batch_id: str, *, added: int, left_out: Mapping[str, int]) -> None:
        """Record that all jobs of a redial are in."""
        fields = {
            "redial.finished_at": self._now(),
            "redial.added": added,
            "redial.left_out": dict(left_out),
        }
        self.table.update({"batch_id": batch_id}, {"$set": fields})

    def newest(self, limit: int = 0) -> list[Batch]:
        """Find batches, newest first; ``limit`` 0 is all."""
        return [
            Batch.read(document) for document in self.table.find({}, sort=[("created_at", -1)], limit=limit)
        ]

    def select(
        self,
        *,
        limit: int,
        skip: int = 0,
        before: str | None = None,
        account_id: str | None = None,
        is_active: bool | None = None,
    ) -> list[Batch]:
        """Find batches in the order of their ids, which begin with their day, the last first.

        Args:
            limit: at most this many.
            skip: leave out so many first; each of them is read.
            before: only those before this id.
            account_id: of this account only.
            is_active: only those that are active, or only those that are not.
        """
        query: Document = {"batch_id": {"$type": "string"} if before is None else {"$lt": before}}
        if account_id is not None:
            query["account_id"] = account_id
        if is_active is not None:
            active: Document = {"is_active": ACTIVE, **NOT_CANCELLED}
            query |= active if is_active else {"$nor": [active]}
        rows = self.table.find(query, sort=[("batch_id", -1)], limit=skip + limit)
        return [Batch.read(row) for row in rows[skip:]]

    def find_by_any_id(self, name: str) -> Batch | None:
        """Find a batch by its ``batch_id``, else by its ``_id`` as text; None where there is none."""
        document = self.table.find_one({"batch_id": name}) or self.table.find_one(
            {"_id": {"$in": ids_from_text(name)}}
        )
        return None if document is None else Batch.read(document)

    def newest_of_account(self, account_id: str) -> Batch | None:
        """Find the newest batch of an account that has call settings; None where there is none."""
        query = {"account_id": account_id, "call_settings": {"$type": "object"}}
        rows = self.table.find(query, sort=[("created_at", -1)], limit=1)
        return Batch.read(rows[0]) if rows else None

    # -- pause and resume --------------------------------------------------------------------------------

    def pause(self, batch_id: str, *, by: str, reason: str | None) -> Document:
        """Stop new calls of a batch; return its ``pause``, which records who, when and why.

        Raises:
            NotFound: there is no such batch.
        """
        pause = {"by": by, "reason": reason, "at": self._now()}
        change = {"$set": {"is_active": False, "pause": pause, "updated_at": self._now()}}
        if not self.table.update({"batch_id": batch_id}, change):
            raise NotFound(say("no batch {batch_id}", batch_id=batch_id))
        return pause

    def resume(self, batch_id: str, *, by: str, with_hours: bool = False) -> Batch:
        """Allow calls of a batch again.

        Args:
            batch_id: the batch.
            by: the operator.
            with_hours: expected: the batch has calling hours of its own.

        Raises:
            NotFound: there is no such batch, it is cancelled, or it has no hours where they are expected.
        """
        resumed = {"by": by, "at": self._now()}
        change = {
            "$set": {"is_active": True, "resumed": resumed, "updated_at": self._now()},
            "$unset": {"pause": ""},
        }
        expected = {"call_settings.allowed_hours": {"$ne": None}} if with_hours else {}
        return self._change(batch_id, change, NOT_CANCELLED | expected)

    def pause_all(self, *, by: str, reason: str | None, limit: int = 0) -> int:
        """Pause active batches, marked with ``pause.all`` for ``resume_all``; return how many.

        Args:
            by: the operator.
            reason: in the operator's words.
            limit: at most this many (0: all); repeat it until it returns 0.
        """
        pause = {"by": by, "reason": reason, "at": self._now(), "all": True}
        change = {"$set": {"is_active": False, "pause": pause, "updated_at": self._now()}}
        active: Document = {"is_active": ACTIVE, **NOT_CANCELLED}
        while True:
            found = self.table.find(active, limit=limit, fields=("_id",))
            paused = self.table.update_many({**active, "_id": {"$in": [row["_id"] for row in found]}}, change)
            if paused or not found:  # else another program has paused all of these meanwhile
                return paused

    def resume_all(self, *, by: str) -> int:
        """Resume the batches that ``pause_all`` paused and no ``pause`` has paused since; return how many."""
        resumed = {"by": by, "at": self._now()}
        change = {
            "$set": {"is_active": True, "resumed": resumed, "updated_at": self._now()},
            "$unset": {"pause": ""},
        }
        paused = {"is_active": {"$in": INACTIVE}, "pause.all": True, **NOT_CANCELLED}
        return self.table.update_many(paused, change)

    def cancel(self, batch_id: str, *, by: str, reason: str | None) -> Batch:
        """Pause a batch for good, before its jobs are cancelled.

        Raises:
            NotFound: there is no such batch.
        """
        called_off = {"by": by, "reason": reason, "at": self._now()}
        pause = {**called_off, "reason": reason or "cancelled"}
        change = {"is_active": False, "pause": pause, "cancelled": called_off, "updated_at": self._now()}
        return self._change(batch_id, {"$set": change})

    def write_settings(
        self, batch: Batch, changes: Mapping[str, object], expected: Document | None = None, *, by: str
    ) -> bool:
        """Change single fields of a batch, and no other; False where one of them is not as read any more.

        Expected: not cancelled, and each field as in ``batch``. So of two edits of one field the second one
        knows what it replaces, and edits of different fields do not undo each other.

        Args:
            batch: as read.
            changes: by dotted path, the new value; None removes the field.
            expected: further conditions.
            by: the operator.
        """
        changes = _writable(batch.document, changes)
        as_read, change = field_changes(batch.document, changes, by=by, now=self._now())
        return self.table.update(
            {"batch_id": batch.batch_id, **as_read, **NOT_CANCELLED, **(expected or {})}, change
        )

    def accept_unassigned(self, batch_id: str) -> Batch:
        """Let numbers that no numbering plan has be dialled in a batch.

        Raises:
            NotFound: there is no such batch.
        """
        return self._change(batch_id, {"$set": {"accept_unassigned": True, "updated_at": self._now()}})

    def delete(self, batch_id: str) -> bool:
        """Delete a batch without open dials, of which no job is left; return whether it was there."""
        return self.table.delete({"batch_id": batch_id, "open_dials.0": {"$exists": False}}) > 0

    def _change(self, batch_id: str, change: Document, expected: Document | None = None) -> Batch:
        if not self.table.update({"batch_id": batch_id, **(expected or {})}, change):
            raise NotFound(say("no batch {batch_id}", batch_id=batch_id))
        return self.get(batch_id)

    # -- open dials --------------------------------------------------------------------------------------

    def register_dial(
        self, batch_id: str, key: str, *, at_most: int | None, job_id: str | None = None
    ) -> bool:
        """Add the entry of an open dial; True also where it is there already.

        Expected: the batch is active, and has fewer than ``at_most`` open dials (None: no limit). ``job_id``
        names the job for whoever finds the entry after that was deleted.
        """
        capacity = {} if at_most is None else {f"open_dials.{max(at_most, 1) - 1}": {"$exists": False}}
        if at_most == 0:
            return False
        query = {
            "batch_id": batch_id,
            "is_active": ACTIVE,
            **NOT_CANCELLED,
            "open_dials.key": {"$ne": key},
            **capacity,
        }
        if self._push_dial(query, self._entry(key, job_id)):
            return True
        return self.table.find_one({"batch_id": batch_id, "open_dials.key": key}, fields=("_id",)) is not None

    def register_live_dial(self, batch_id: str, key: str, *, job_id: str | None = None) -> None:
        """Add the entry of a dial that has a call already, whatever the batch's pause and limit."""
        query = {"batch_id": batch_id, "open_dials.key": {"$ne": key}}
        self._push_dial(query, self._entry(key, job_id))

    def note_all_entries(self, batch_id: str) -> None:
        """Record that the batch has an entry of each open dial: from now on every dial makes one."""
        self.table.update({"batch_id": batch_id}, {"$set": {"has_all_entries": True}})

    def end_invalid_run(self, batch_id: str) -> None:
        """A dial reached a valid number; see ``note_invalid_number``."""
        run = {"batch_id": batch_id, "invalid_run": {"$exists": True}}
        self.table.update(run, {"$unset": {"invalid_run": ""}})

    def _entry(self, key: str, job_id: str | None) -> Document:
        return {"key": key, "at": self._now(), **({} if job_id is None else {"job_id": job_id})}

    def _push_dial(self, query: Document, entry: Document) -> bool:
        """Add an entry; what another program wrote where the list belongs is replaced by a list."""
        change = {"$push": {"open_dials": entry}}
        try:
            return self.table.update(query, change)
        except StoreUnavailable:
            raise
        except StoreError:
            row = self.table.find_one({"batch_id": query["batch_id"]}, fields=("open_dials",)) or {}
            if isinstance(row.get("open_dials", []), list):
                raise
            as_read = {"batch_id": query["batch_id"], "open_dials": as_stored(row["open_dials"])}
            self.table.update(as_read, {"$set": {"open_dials": []}})
            return self.table.update(query, change)

    def settle_dial(
        self,
        batch_id: str,
        key: str,
        figures: Mapping[str, float],
        *,
        ends_invalid_run: bool = False,
        as_read: Batch | None = None,
    ) -> bool:
        """Remove a dial's entry and add to the batch's sums; False where that is done already.

        Args:
            batch_id: the batch.
            key: the dial's key; expected among the entries.
            figures: what to add to which sum (``total_cost``, …).
            ends_invalid_run: the dial reached a valid number; see ``note_invalid_number``.
            as_read: the batch as read before; saves a read.
        """
        change: Document = {"$pull": {"open_dials": {"key": key}}, "$set": {"updated_at": self._now()}}
        query = {"batch_id": batch_id, "open_dials.key": key}
        if ends_invalid_run:
            change["$unset"] = {"invalid_run": ""}
        if figures:
            change["$inc"] = dict(figures)
            known = {} if as_read is None else as_read.document
            if as_read is None or any(without_residue(known.get(name, 0)) is not None for name in figures):
                self._make_countable(query, figures)
        return self.table.update(query, change)

    def _make_countable(self, query: Document, names: Iterable[str]) -> None:
        """Turn sums that SpeechAI stored as text or null into numbers, and take the residue off."""
        document = self.table.find_one(query, fields=tuple(names)) or {}
        for name in names:
            value = document.get(name, 0)
            countable = without_residue(value)
            if countable is not None:
                self.table.update({**query, name: as_stored(value)}, {"$set": {name: countable}})

    def note_invalid_number(self, batch_id: str, person: str, *, people: int, reason: str) -> bool:
        """Note that a person's number is invalid; pause the batch if that befell so many people in a row.

        A batch is paused so only once: an operator who resumes it has seen its list.

        Args:
            batch_id: the batch.
            person: stands for the person; the same one again does not count.
            people: how many in a row.
            reason: for ``pause``.

        Returns:
            Whether this paused the batch.
        """
        new = {"batch_id": batch_id, "bad_list_at": None, "invalid_run": {"$ne": person}}
        self.table.update(new, {"$push": {"invalid_run": person}})
        bad = {
            "batch_id": batch_id,
            "bad_list_at": None,
            f"invalid_run.{people - 1}": {"$exists": True},
            "is_active": {"$nin": INACTIVE},
        }
        now = self._now()
        pause = {"by": PAUSED_BY_SPEECHAID, "reason": reason, "at": now}
        change = {
            "$set": {"is_active": False, "pause": pause, "bad_list_at": now, "updated_at": now},
            "$unset": {"invalid_run": ""},
        }
        return self.table.update(bad, change)

    def with_own_agent(self, limit: int) -> list[Batch]:
        """Find active batches that name an agent, a version or a number themselves, the newest first."""
        chosen = [{path: {"$exists": True, "$ne": None}} for path in _AGENT_FIELDS]
        query: Document = {"is_active": ACTIVE, **NOT_CANCELLED, "$or": chosen}
        return [
            Batch.read(document) for document in self.table.find(query, sort=[("batch_id", -1)], limit=limit)
        ]

    def pin_agent(self, batch: Batch, pin: AgentPin) -> bool:
        """Keep the version of the agent with which a batch is started; False where its agent has changed."""
        change = {"$set": {"agent_pin": pin.document(), "updated_at": self._now()}}
        return self.table.update(_same_agent(batch), change)

    def pause_refused(self, batch: Batch, *, reason: str) -> bool:
        """Pause a batch whose agent or number Retell refuses, unless somebody has given it others meanwhile.

        Args:
            batch: as read before the refused dial.
            reason: for ``pause``.

        Returns:
            Whether this paused the batch.
        """
        query = {**_same_agent(batch), "is_active": {"$nin": INACTIVE}}
        now = self._now()
        pause = {"by": PAUSED_BY_SPEECHAID, "reason": reason, "at": now}
        return self.table.update(query, {"$set": {"is_active": False, "pause": pause, "updated_at": now}})

    def stale_dials(self, before: datetime) -> list[StaleEntry]:
        """The entries made before that time."""
        rows = self.table.find({"open_dials.at": {"$lt": before}}, fields=("batch_id", "open_dials"))
        return [entry for row in rows for entry in stale_entries(row, str(row.get("batch_id")), before)]

    # -- imports -----------------------------------------------------------------------------------------

    def note_import(self, batch_id: str, fields: Document) -> None:
        """Record the progress of the import into this batch, replacing the previous record."""
        self.table.update({"batch_id": batch_id}, {"$set": {"last_import": fields}})

    def imported_into(self, limit: int) -> list[Batch]:
        """Find batches with an import, the latest import first."""
        known = {"last_import.started_at": {"$exists": True}}
        rows = self.table.find(known, sort=[("last_import.started_at", -1)], limit=limit)
        return [Batch.read(document) for document in rows]

    # -- counters ----------------------------------------------------------------------------------------

    def write_counts(self, batch_id: str, counts: Mapping[str, int]) -> None:
        """Write SpeechAI's job counters."""
        self.table.update({"batch_id": batch_id}, {"$set": dict(counts)})


def _same_agent(batch: Batch) -> Document:
    """The condition that a batch is not cancelled, and still has the agent and the number that were read."""
    as_read = {path: as_stored(value_at(batch.document, path)) for path in _AGENT_FIELDS}
    return {"batch_id": batch.batch_id, **as_read, **NOT_CANCELLED}


def _writable(document: Document, changes: Mapping[str, object]) -> Mapping[str, object]:
    """The changes as the database can write them: where ``call_settings`` is no document, it is replaced."""
    settings = document.get("call_settings")
    if isinstance(settings, Mapping) or "call_settings" not in document:
        return changes
    prefix = "call_settings."
    own = {
        path.removeprefix(prefix): value
        for path, value in changes.items()
        if path.startswith(prefix) and value is not None
    }
    others = {path: value for path, value in changes.items() if not path.startswith(prefix)}
    return {**others, "call_settings": own} if len(others) < len(changes) else changes
