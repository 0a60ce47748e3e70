"""Bodies shown in the API description. A test decodes each one as what it is an example of."""

from typing import Any

import msgspec

from media.thresholds import Thresholds

_DEVICE = "01938c5e-7c00-7a3b-8f10-2d4c6e8a0b11"
_RECORD = "01938c5e-9d40-7b21-a6c2-90f1e2d3c4b5"
_CHANGE = "01938c5e-9d41-7c55-8e0d-5a6b7c8d9e0f"
_EPOCH = "01938b00-0000-7000-8000-000000000001"
_SERVER_KEY = "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"
_NOW = 1_763_625_600_000
_GRANTS = [{"scope": "grid:440304007", "role": "inspector", "valid_from": _NOW, "valid_until": None}]
_FINDING = {"kind": "0102", "grid": "440304007001001", "text": "盖板破损", "place": {"lon": 114.06, "lat": 22.57}}

SIGN_IN: dict[str, Any] = {
    "user": "li.na",
    "password": "correct horse battery",
    "device": {
        "id": _DEVICE,
        "public_key": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "name": "巡查手机 7",
        "model": "Pixel 9",
    },
}
REFRESH: dict[str, Any] = {"refresh_token": "b3BhcXVlLXJhbmRvbS10ZXh0LW9mLTMyLWJ5dGVz"}
SESSION: dict[str, Any] = {
    "user": "li.na",
    "display_name": "李娜",
    "device": _DEVICE,
    "access_token": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJsaS5uYSJ9.c2lnbmF0dXJl",
    "expires_in": 900,
    "refresh_token": REFRESH["refresh_token"],
    "grants": _GRANTS,
    "server_ms": _NOW,
    "epoch": _EPOCH,
    "server_key": _SERVER_KEY,
    "media_digest": "sha256",
    "thresholds": msgspec.to_builtins(Thresholds()),
}
ME: dict[str, Any] = {
    "user": "li.na",
    "display_name": "李娜",
    "device": _DEVICE,
    "grants": _GRANTS,
    "server_ms": _NOW,
    "server_key": _SERVER_KEY,
}
PUSH: dict[str, Any] = {
    "changes": [
        {
            "id": _CHANGE,
            "seq": 1,
            "type": "finding",
            "record": _RECORD,
            "stamp": 761_116_262_400_000,
            "captured": {"wall_ms": _NOW, "trusted_ms": _NOW - 60_000, "elapsed_ms": 60_000, "error_ms": 40},
            "fields": _FINDING,
        }
    ]
}
PUSH_ANSWER: dict[str, Any] = {
    "epoch": _EPOCH,
    "server_ms": _NOW,
    "held": 1,
    "verdicts": [{"change": _CHANGE, "seq": 1, "outcome": "applied", "version": 1041}],
}
PULL: dict[str, Any] = {"cursor": None, "limit": 2000}
PULL_ANSWER: dict[str, Any] = {
    "epoch": _EPOCH,
    "server_ms": _NOW,
    "stamp": 761_116_262_400_000,
    "cursor": "ksQQAZOLAAAAcACAAAAAAAAAAYA",
    "more": False,
    "scopes": ["grid:440304007"],
    "records": [
        {
            "id": _RECORD,
            "type": "finding",
            "version": 1041,
            "owner": "li.na",
            "fields": _FINDING | {"state": "reported"},
        }
    ],
}
SNAPSHOT: dict[str, Any] = {"scope": "grid:440304007"}
SNAPSHOT_ANSWER: dict[str, Any] = {
    "snapshot": {
        "id": "8d5e957f297893487bd98fa830fa6413-9f86d081884c7d65",
        "cursor": PULL_ANSWER["cursor"],
        "blocks": [
            {
                "bytes": 801_224,
                "records": 16_000,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            }
        ],
        "epoch": _EPOCH,
    }
}
DIGESTS: dict[str, Any] = {"scope": "grid:440304007", "prefix": "a6"}
DIGESTS_ANSWER: dict[str, Any] = {
    "count": 1,
    "ranges": {"a690": [1, "3b0c44298fc1c149"]},
    "records": [[_RECORD, 1041]],
}
FETCH: dict[str, Any] = {"ids": [_RECORD, _CHANGE]}
FETCH_ANSWER: dict[str, Any] = {"records": PULL_ANSWER["records"], "forget": [_CHANGE], "epoch": _EPOCH}
HISTORY: dict[str, Any] = {
    "record": _RECORD,
    "type": "finding",
    "entries": [
        {
            "change": _CHANGE,
            "user": "li.na",
            "device": _DEVICE,
            "seq": 1,
            "outcome": "applied",
            "base": 0,
            "version": 1041,
            "captured_ms": _NOW - 60_000,
            "error_ms": 47,
            "received_ms": _NOW,
            "fields": _FINDING,
            "before": {},
        }
    ],
}
RECEIPT: dict[str, Any] = {"changes": [_CHANGE], "previous": None}
RECEIPT_ANSWER: dict[str, Any] = {"receipt": "eyJhbGciOiJFZERTQSJ9.eyJoZWxkIjoxfQ.c2lnbmF0dXJl"}

_PHOTO = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
UPLOAD_STATUS = {
    "state": "complete",
    "offset": 2_481_152,
    "length": 2_481_152,
    "expires_ms": 1_773_043_200_000,
    "digest": _PHOTO,
}
PUBLICATION = {"hidden": [{"left": 0.41, "top": 0.6, "width": 0.12, "height": 0.05}], "side_px": 1600}
MEDIA_LINK = {
    "digest": _PHOTO,
    "size": 2_481_152,
    "media_type": "image/jpeg",
    "url": f"/v1/media/{_PHOTO}/content?expires=1772439300000&signature=yM5JYJd1b0m6",
    "expires_ms": 1_772_439_300_000,
}
PICTURE_LINK = {
    "digest": _PHOTO,
    "size": None,
    "media_type": "image/jpeg",
    "url": f"/v1/media/{_PHOTO}/content?picture=8c2f0b5d9e11a7c3&expires=1772439300000&signature=Jx2cTn0q4vXh",
    "expires_ms": 1_772_439_300_000,
}
