"""Registers the search attributes of sessions in a namespace, where its server lets us."""

import logging
import re
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflows.wire.attributes import COMMAND, NAMES

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD

CALL_TIMEOUT = timedelta(seconds=10)
"""One call to the server: it answers within milliseconds, or is not to be waited for."""

logger = logging.getLogger("sessions")


async def register_search_attributes(temporal: Client) -> bool:
    """Whether sessions in this namespace may write SessionStatus and SessionOwner; registers them where they are not.

    One log line says so where they cannot be used: sessions work, but are not found by status or owner.
    """
    registered = await _registered(temporal)
    missing = [name for name in NAMES if name not in registered]
    mistyped = [name for name in NAMES if registered.get(name, KEYWORD) != KEYWORD]
    if mistyped:
        return _unusable(f"{', '.join(mistyped)} is not of the type Keyword there")
    if missing:
        request = AddSearchAttributesRequest(
            namespace=temporal.namespace, search_attributes=dict.fromkeys(missing, KEYWORD)
        )
        try:
            await temporal.operator_service.add_search_attributes(request, timeout=CALL_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.ALREADY_EXISTS:
                return _unusable(f"the server refuses to register {', '.join(missing)}: {error}; run `{COMMAND}`")
        else:
            logger.info("registered the search attributes %s", ", ".join(missing))
    return True


async def _registered(temporal: Client) -> dict[str, int]:
    """The namespace's own search attributes by name, as far as the server says: their types."""
    try:
        request = ListSearchAttributesRequest(namespace=temporal.namespace)
        listed = await temporal.operator_service.list_search_attributes(request, timeout=CALL_TIMEOUT)
        return dict(listed.custom_attributes)
    except RPCError:  # Temporal Cloud refuses operator calls, the test server has none of that name
        return await _described(temporal)


async def _described(temporal: Client) -> dict[str, int]:
    """The same as a caller without operator rights can know it."""
    request = DescribeNamespaceRequest(namespace=temporal.namespace)
    try:
        described = await temporal.workflow_service.describe_namespace(request, timeout=CALL_TIMEOUT)
    except RPCError:
        return {}
    return {
        # A field is named after its type, like Keyword07.
        name: KEYWORD if re.fullmatch(r"Keyword\d+", field) else IndexedValueType.INDEXED_VALUE_TYPE_UNSPECIFIED
        for field, name in described.config.custom_search_attribute_aliases.items()
    }


def _unusable(reason: str) -> bool:
    logger.warning("sessions cannot be found by status or owner: %s", reason)
    return False
