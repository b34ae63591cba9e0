"""decryption_forbidden(): code in which no cell may be opened."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from django_workos_vault import vaults
from django_workos_vault.exceptions import (
    DecryptionForbidden,
)
from tests.app.models import Person
from tests.keyring.rings import cipher_of, sealed_without_database

pytestmark = pytest.mark.django_db


def test_decryption_forbidden_guards_blocks_functions_and_coroutines() -> None:
    """Inside, opening raises; sealing works; afterwards opening works again."""
    Person.objects.create(ssn="123-45-6789")
    guard = vaults["default"].decryption_forbidden

    with guard():
        Person.objects.create(ssn="987-65-4321")
        with pytest.raises(DecryptionForbidden):
            _ = Person.objects.all()[0].ssn

    @guard()
    def read() -> Any:
        return Person.objects.all()[0].ssn

    with pytest.raises(DecryptionForbidden):
        read()
    assert Person.objects.all()[0].ssn == "123-45-6789"


async def test_decryption_forbidden_holds_while_a_coroutine_runs() -> None:
    """A decorated coroutine function is guarded in its body, not only while it is called."""
    ring = vaults["default"].keyring
    cell = await asyncio.to_thread(sealed_without_database, ring)

    @vaults["default"].decryption_forbidden()
    async def read() -> bytes:
        await asyncio.sleep(0)
        return cipher_of(ring).open(cell)

    assert inspect.iscoroutinefunction(read)
    with pytest.raises(DecryptionForbidden):
        await read()
    assert cipher_of(ring).open(cell) == b"x"


def test_decryption_forbidden_refuses_generators() -> None:
    """A generator's body would run unguarded, so decorating one is an error."""
    with pytest.raises(TypeError, match="generator"):

        @vaults["default"].decryption_forbidden()
        def rows() -> Iterator[int]:
            yield 1
