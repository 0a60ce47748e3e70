"""Receipts: the server's signed word that it holds a device's changes."""

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from field_schemas.labels import Label
from server.http import examples
from server.http.authentication import Gate
from server.http.described import Operation, described
from server.http.negotiation import BODY_CODES, AnyRequest, Body, answer
from server.http.routes.sessions import REVOKED_TOO_CODES
from server.receipts import ReceiptSigner
from sync.clock import Milliseconds
from sync.messages import ReceiptRequest, ReceiptResponse
from sync.receipts import receipt
from sync.storage import Store

TAG = Label("回执", "Receipts")

_RECEIPT = Operation(
    tag=TAG,
    summary=Label("为本设备的更改开具签名回执", "A signed receipt for the device's changes"),
    request=ReceiptRequest,
    response=ReceiptResponse,
    codes=("change_unknown", "receipt_invalid", *BODY_CODES, *REVOKED_TOO_CODES),
    example=examples.RECEIPT,
    answer_example=examples.RECEIPT_ANSWER,
    proof=True,
    token=True,
)


def receipt_routes(gate: Gate, store: Store, signer: ReceiptSigner, now_ms: Milliseconds) -> list[HTTPRouteHandler]:
    """The routes of receipts; revoked devices get them too."""
    receipt_body = Body(ReceiptRequest)

    @post("/v1/receipts", status_code=200, opt=described(_RECEIPT))
    async def receipts(request: AnyRequest) -> Response[bytes]:
        who, wanted = await gate.read(request, receipt_body, revoked_too=True)
        previous = signer.read(wanted.previous) if wanted.previous else None
        async with store.reading() as tx:
            given = await receipt(tx, who.actor, previous, wanted.changes, now_ms())
        return answer(request, ReceiptResponse(signer.sign(given)))

    return [receipts]
