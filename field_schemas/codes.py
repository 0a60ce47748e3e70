"""The catalogue of codes: every verdict, refusal and error the system can give, in the users' words.

A code is stable; its words may improve. `advice` says what the client should do. HTTP statuses are none of
this table's business: `server.http.problems` maps codes to them.
"""

import msgspec

from field_schemas.labels import Label


class Code(msgspec.Struct, frozen=True):
    """One thing that can be said to a client: its stable name, its words, and what to do about it."""

    name: str
    title: Label
    advice: Label


def _code(name: str, zh: str, en: str, advice_zh: str, advice_en: str) -> Code:
    return Code(name, Label(zh, en), Label(advice_zh, advice_en))


# One row a code: a table to be read down, not wrapped.
# fmt: off
_CHANGE_CODES = (
    _code("type_unknown", "未知的记录类型", "Unknown record type", "更新应用后重新提交", "Update the app, then send it again"),
    _code("field_unknown", "未知的字段", "Unknown field", "更新应用后重新提交", "Update the app, then send it again"),
    _code("field_missing", "缺少必填字段", "A required field is missing", "补全后重新提交", "Fill it in and send it again"),
    _code("value_invalid", "字段值无效", "A field's value is not valid", "更正后重新提交", "Correct it and send it again"),
    _code("field_server_only", "该字段只能由服务器填写", "Only the server fills this field", "去掉该字段", "Leave the field out"),
    _code("already_set", "该字段已有值，不能更改", "This field is set once and has a value", "核对现有值", "Check the value that stands"),
    _code("scope_denied", "记录不在您的辖区内", "The record is outside your area", "请主管代为应用，或调整授权", "Ask a supervisor to apply it, or for a grant"),
    _code("role_denied", "您的角色不能进行此操作", "Your role may not do this", "请有权限的同事处理", "Ask a colleague whose role may"),
    _code("field_denied", "您的角色不能修改该字段", "Your role may not change this field", "去掉该字段后重新提交", "Leave the field out and send it again"),
    _code("no_scope", "记录没有所属范围", "The record lies in no scope", "填写网格、人员或部门", "Fill in its grid, person or department"),
    _code("transition_illegal", "当前状态不允许此步骤", "This step is not possible from the current state", "同步后按当前状态处理", "Sync and go on from the current state"),
    _code("record_unknown", "服务器上没有该记录", "The server has no such record", "记录恢复后重新提交；否则重新创建", "Send it again once the record is there; else create it anew"),
    _code("record_deleted", "记录已被删除", "The record has been deleted", "如仍需要，请新建", "Create a new one if it is still needed"),
    _code("record_changed", "记录已被他人修改，未删除", "Others have changed the record, it was not deleted", "查看修改后再删除", "Look at their changes, then delete"),
    _code("refusal_closed", "退回已处理，未再次执行", "The refusal has been dealt with already", "查看处理结果", "Look at what became of it"),
    _code("already_undone", "该更改已被撤销", "The change was taken back already", "查看历史记录", "Look at the history"),
    _code("nothing_to_undo", "该更改已无可撤销的内容", "Nothing of the change is left to take back", "查看之后的修改", "Look at later work"),
    _code("assignee_denied", "该人员无权处理此事项", "This person may not deal with it", "选择有权限的人员", "Choose somebody who may"),
    _code("type_mismatch", "记录类型不符", "The record is of another type", "检查记录编号", "Check the record's id"),
    _code("type_too_new", "服务器还不认识此版本的记录类型", "The server does not know this version of the type yet", "稍后重试", "Send it again later"),
    _code("offline_too_long", "更改在离线期限之前采集", "The change was captured before the allowed time offline", "联系主管处理", "Ask your supervisor to apply it"),
    _code("device_quarantined", "设备已注销，更改已隔离", "The device is revoked, its changes are kept apart", "由主管核对后应用", "A supervisor checks and applies them"),
    _code("change_too_large", "单条更改过大", "The change is too large", "拆分后重新提交", "Split it and send it again"),
    _code("record_too_large", "记录过大", "The record would grow too large", "新建一条记录继续", "Go on in a new record"),
    _code("row_malformed", "该行无法解析", "The row of the file cannot be read", "更正文件中的该行", "Correct the row in the file"),
    _code("key_duplicate", "文件中的主键重复", "The file holds this key twice", "去掉重复的行", "Remove the row that is too many"),
    _code("grid_unknown", "位置不在任何单元网格内", "The position lies in no unit grid", "核对位置，或先导入网格", "Check the position, or load the grids first"),
)

_REQUEST_CODES = (
    _code("body_malformed", "请求内容无法解析", "The body cannot be read", "检查编码格式", "Check its encoding"),
    _code("body_stalled", "请求内容中断", "The body stopped coming", "网络恢复后重新提交", "Send it again"),
    _code("body_too_large", "请求内容过大", "The body is too large", "分成更小的批次", "Send smaller batches"),
    _code("headers_too_large", "请求头过大", "The headers are too large", "缩短请求头", "Send shorter ones"),
    _code("batch_too_large", "批次过大", "The batch holds too many items", "分成更小的批次", "Send smaller batches"),
    _code("id_invalid", "编号不是设备生成的", "An id was not made by this device", "用 UUIDv7 重新编号", "Make ids as UUIDv7"),
    _code("sequence_gap", "设备序号不连续", "The device's sequence has a hole", "从期望的序号重新发送", "Send again from the expected number"),
    _code("sequence_reused", "设备序号已用于其他更改", "The sequence number was used by another change", "重新编号后发送", "Renumber and send again"),
    _code("cursor_invalid", "同步游标无效", "The cursor is not valid", "从头同步", "Pull without a cursor"),
    _code("epoch_changed", "服务器数据已更换", "The server's data was replaced", "重新拉取并补发", "Fetch afresh and send again what is missing"),
    _code("cursor_expired", "离开时间过长", "The device was away for too long", "重新拉取全部数据，保留未发送的工作", "Fetch afresh; unsent work is kept"),
    _code("client_too_old", "应用版本过旧", "The app is too old", "工作已保存到服务器；请更新应用", "Your work is safe on the server; update the app"),
    _code("change_unknown", "服务器没有该更改", "The server does not have this change", "先发送该更改，再重新提交", "Send that change first, then this again"),
    _code("receipt_invalid", "回执无效", "The receipt is not valid", "从第一条更改重新索取", "Ask again from the first change"),
    _code("parameter_invalid", "参数无效", "A parameter is not valid", "按说明更正", "Correct it as described"),
    _code("not_found", "没有找到", "Not found", "检查地址", "Check the address"),
    _code("method_not_allowed", "不支持该方法", "The method is not supported here", "查看接口文档", "See the API page"),
    _code("media_type_unsupported", "不支持的内容类型", "The content type is not supported", "使用 JSON 或 MessagePack，不压缩或用 zstd、gzip 压缩", "Use JSON or MessagePack, plain or compressed with zstd or gzip"),
    _code("credentials_wrong", "用户名或密码错误", "Wrong user name or password", "重新输入", "Enter them again"),
    _code("account_locked", "账户已暂时锁定", "The account is locked for a while", "稍后再试或联系管理员", "Try later or ask an administrator"),
    _code("account_disabled", "账户已停用", "The account is disabled", "联系管理员", "Ask an administrator"),
    _code("token_missing", "未登录", "No access token was sent", "请先登录", "Sign in first"),
    _code("token_expired", "登录已过期", "The access token has expired", "刷新令牌", "Refresh the token"),
    _code("token_invalid", "令牌无效", "The token is not valid", "重新登录", "Sign in again"),
    _code("token_reused", "刷新令牌被重复使用，会话已终止", "The refresh token was used twice, the session is ended", "重新登录", "Sign in again"),
    _code("proof_invalid", "设备密钥证明无效", "The proof of the device key is not valid", "用注册的密钥重新签名", "Sign with the enrolled key"),
    _code("proof_stale", "设备证明的时间不符", "The proof's time is too far off", "按服务器时间重新签名", "Sign again by the server's time"),
    _code("device_revoked", "设备已被注销", "The device has been revoked", "联系管理员", "Ask an administrator"),
    _code("device_taken", "设备编号已被占用", "The device id is enrolled with another key or user", "使用新的设备编号", "Enrol with a new device id"),
    _code("too_many_requests", "该设备同时请求过多", "The device asks for too much at once", "等待先前的请求完成", "Wait until its earlier requests are answered"),
    _code("overloaded", "服务器繁忙", "The server is busy", "稍后按提示重试", "Retry after the time given"),
    _code("server_behind", "服务器程序版本过旧，暂不能处理此数据", "The server's program is older than this data", "稍后重试；工作保留在设备上", "Retry later; your work stays on the device"),
    _code("internal", "服务器内部错误", "Something went wrong on the server", "稍后重试；数据未丢失", "Retry later; nothing was lost"),
)

_MEDIA_CODES = (
    _code("tus_version_unsupported", "不支持的 tus 版本", "This version of tus is not spoken here", "使用 Tus-Resumable: 1.0.0", "Send Tus-Resumable: 1.0.0"),
    _code("upload_header_invalid", "上传请求头无效", "A header of the upload is malformed", "按 tus 1.0.0 更正", "Correct it as tus 1.0.0 has it"),
    _code("chunk_type_wrong", "上传内容类型不符", "A chunk is of another content type", "使用 application/offset+octet-stream", "Send application/offset+octet-stream"),
    _code("offset_mismatch", "上传位置不符", "The upload stands at another offset", "从返回的 Upload-Offset 继续", "Go on from the Upload-Offset of the answer"),
    _code("upload_superseded", "已有更新的请求接手该上传", "A newer request has taken the upload over", "查询位置后继续", "Ask for the offset and go on"),
    _code("upload_busy", "该上传正被另一请求占用", "Another request is still at work on the upload", "稍后重试", "Retry after the time given"),
    _code("upload_overrun", "内容超过声明的长度", "More bytes than the upload was said to have", "核对文件后重新上传", "Check the file and upload it afresh"),
    _code("upload_too_large", "文件过大", "The file is too large", "压缩或截短后上传", "Upload a smaller or shorter one"),
    _code("upload_final", "合并的上传不接受内容", "An upload made from parts takes no bytes", "改为上传各部分", "Upload its parts instead"),
    _code("upload_unfinished", "有部分尚未上传完", "A part is not whole yet", "先传完各部分", "Finish all parts first"),
    _code("upload_unknown", "没有该上传", "There is no such upload", "重新创建上传", "Create it again"),
    _code("upload_gone", "上传已结束或过期", "The upload was ended or has expired", "重新创建上传", "Create it again"),
    _code("checksum_unsupported", "不支持的校验算法", "The checksum's algorithm is not supported", "使用 sha1 或 sha256", "Use sha1 or sha256"),
    _code("checksum_mismatch", "分块校验不符，已丢弃", "The chunk is not what its checksum says, it was discarded", "重新发送该分块", "Send the chunk again"),
    _code("digest_unsupported", "不支持的摘要算法", "The server keeps media by another digest", "按服务器的摘要算法计算", "Use the digest the server names"),
    _code("digest_mismatch", "文件与声明的摘要不符", "The file is not what its digest says", "从原件重新上传", "Upload it afresh from the original"),
    _code("media_refused", "不接受的文件类型", "Files of this kind are not taken", "上传 JPEG、PNG、WebP、HEIC、MP4、MOV 或 M4A", "Upload JPEG, PNG, WebP, HEIC, MP4, MOV or M4A"),
    _code("media_empty", "空文件", "The file is empty", "核对文件", "Check the file"),
    _code("media_damaged", "设备上的文件已丢失或损坏", "The file on this device is gone or damaged", "重新拍摄", "Take it again"),
    _code("media_lost", "服务器已丢失该文件，设备上的副本也已释放", "The server has lost the file, and the copy here was freed", "用相册中的原件重新添加", "Attach the original again"),
    _code("media_unknown", "没有该媒体，或您无权查看", "There is no such media, or it is not for you", "同步后重试", "Sync and try again"),
    _code("link_invalid", "链接无效或已过期", "The link is not valid, or too old", "重新获取链接", "Ask for a new link"),
    _code("picture_unavailable", "无法由该文件生成图片", "No picture can be made from this file", "打开原文件", "Open the original"),
    _code("range_invalid", "请求的字节范围无效", "The range lies outside the file", "按返回的长度更正", "Correct it by the size in the answer"),
    _code("quota_exceeded", "今日上传量已用完", "The device has uploaded its share of the day", "明天继续，或联系管理员", "Go on tomorrow, or ask an administrator"),
    _code("storage_full", "服务器存储空间已满", "The server's disk is full", "保留文件，稍后继续", "Keep the file and go on later"),
    _code("storage_unavailable", "媒体存储暂时不可用", "The store of photos and videos does not answer", "稍后重试", "Try again later"),
)

_ACCOUNT_CODES = (
    _code("user_unknown", "没有该账户", "There is no such account", "检查用户名", "Check the user name"),
    _code("user_taken", "用户名已被使用", "The user name is taken", "换一个用户名", "Choose another user name"),
    _code("password_weak", "密码不符合要求", "The password does not meet the policy", "按提示更换密码", "Choose one that does"),
    _code("duties_separate", "该账户不能同时担任这两种管理角色", "One account cannot hold both of these duties", "使用另一个账户", "Use another account"),
    _code("device_unknown", "没有该设备", "There is no such device", "检查设备编号", "Check the device id"),
)
# fmt: on

CODES: dict[str, Code] = {
    code.name: code for code in (*_CHANGE_CODES, *_REQUEST_CODES, *_MEDIA_CODES, *_ACCOUNT_CODES)
}
