"""Records and changes for clients that read JSON: their fields are stored and sent on as MessagePack. Pure."""

from collections.abc import Iterable

import msgspec

from server.plain_json import to_json
from sync.messages import Change, FetchResponse, HistoryEntry, HistoryResponse, PullResponse, WireRecord

_unpack = msgspec.msgpack.Decoder().decode
_ABSENT = Change.__struct_defaults__[0]
_EMPTY_OBJECT = msgspec.Raw(b"{}")


def changes_from_json(changes: list[Change]) -> list[Change]:
    """Changes read from JSON; those that named no fields get an empty object in JSON."""
    return [
        msgspec.structs.replace(change, fields=_EMPTY_OBJECT) if change.fields is _ABSENT else change
        for change in changes
    ]


def page_for_json(page: PullResponse) -> PullResponse:
    """The page with the fields of its records in JSON."""
    return msgspec.structs.replace(page, records=list(_records_for_json(page.records)))


def fetched_for_json(fetched: FetchResponse) -> FetchResponse:
    """The answer with the fields of its records in JSON."""
    return msgspec.structs.replace(fetched, records=list(_records_for_json(fetched.records)))


def history_for_json(history: HistoryResponse) -> HistoryResponse:
    """The history with the fields of its changes in JSON."""
    return msgspec.structs.replace(history, entries=[_entry_for_json(entry) for entry in history.entries])


def _entry_for_json(entry: HistoryEntry) -> HistoryEntry:
    return msgspec.structs.replace(
        entry,
        fields=msgspec.Raw(fields_to_json(entry.fields)),
        before=msgspec.Raw(fields_to_json(entry.before)),
    )


def _records_for_json(records: Iterable[WireRecord]) -> Iterable[WireRecord]:
    for record in records:
        if record.deleted:
            yield record
        else:
            yield msgspec.structs.replace(record, fields=msgspec.Raw(fields_to_json(record.fields)))


def fields_to_json(packed: msgspec.Raw) -> bytes:
    """An object in JSON instead of MessagePack; what is nested too deeply for that as bytes."""
    try:
        return to_json(_unpack(packed))
    except RecursionError:
        return to_json({"unreadable": bytes(packed)})
