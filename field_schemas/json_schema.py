"""Record types as JSON Schema 2020-12, with labels in both languages and what a form needs to know."""

from typing import Any

import msgspec

from field_schemas.record import Record, RecordType


def json_schema(spec: RecordType[Any]) -> dict[str, Any]:
    """The schema of a record's fields.

    Beside the standard keywords: `x-label` {zh, en} on the type and each field, `x-policy` the merge policy,
    `x-states` and `x-transitions` of a workflow, `x-read` and `x-write` where fewer roles than usual may.
    """
    (reference,), components = msgspec.json.schema_components([spec.cls], ref_template="#/$defs/{name}")
    name = reference["$ref"].rsplit("/", 1)[1]
    schema: dict[str, Any] = dict(components.pop(name))
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = spec.label.en
    schema["x-name"] = spec.name
    schema["x-version"] = spec.version
    schema["x-label"] = msgspec.to_builtins(spec.label)
    properties = {key: dict(value) for key, value in schema["properties"].items()}
    for base in Record.__struct_fields__:
        del properties[base]
    for field, declared in spec.fields.items():
        extra: dict[str, Any] = {
            "title": declared.en,
            "x-label": {"zh": declared.zh, "en": declared.en},
            "x-policy": declared.policy.value,
        }
        if declared.workflow:
            extra["x-states"] = list(declared.workflow.states())
            extra["x-transitions"] = [
                {"from": step.source, "to": step.target, "roles": sorted(step.roles)}
                for step in declared.workflow.transitions
            ]
        if declared.read is not None:
            extra["x-read"] = sorted(declared.read)
        if declared.write is not None:
            extra["x-write"] = sorted(declared.write)
        properties[field].update(extra)
    schema["properties"] = properties
    if components:
        schema["$defs"] = components
    return schema
