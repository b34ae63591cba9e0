"""The values of many rows, fetched from Vault before an event loop's code reads them."""

import asyncio
from collections.abc import AsyncIterable, Iterable
from contextlib import suppress

from django.db.models import Model

from django_workos_vault.exceptions import (
    DecryptionForbidden,
    EnvelopeError,
    InvalidVaultConfiguration,
    VaultError,
)
from django_workos_vault.fields.object_value import StoredObject

_CANNOT_BE_HAD = (DecryptionForbidden, EnvelopeError, InvalidVaultConfiguration, VaultError)


async def aload_objects(instances: Iterable[Model], *names: str) -> None:
    """Fetch the values of Vault objects that ``instances`` refer to, before they are read in an event loop.

    ``names`` are field names, all when none is given. At most 8 requests are under way at a time. A value
    that cannot be had is passed over: reading it raises the reason.
    """
    gate = asyncio.Semaphore(8)
    rows = [row async for row in instances] if isinstance(instances, AsyncIterable) else instances

    async def fetch(stored: StoredObject, instance: Model) -> None:
        async with gate:
            with suppress(*_CANNOT_BE_HAD):
                await stored.aopen(instance)

    wanted = [
        (held, instance)
        for instance in rows
        for attname, held in instance.__dict__.items()
        if isinstance(held, StoredObject) and not held.is_read and (not names or attname in names)
    ]
    await asyncio.gather(*(fetch(stored, instance) for stored, instance in wanted))
