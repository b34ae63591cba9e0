"""The calls of Vault's API as verbs of a vault: ``vaults["default"].create_object(...)``."""

from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from django_workos_vault.backends.base import VaultBackend

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class _Call(Generic[Arguments, Result]):
    """A method of the backend, as which it is read: no frame of ours holds what it is given."""

    def __init__(self, method: Callable[Concatenate[Any, Arguments], Result]) -> None:
        self.__doc__ = method.__doc__
        self._name = method.__name__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: "Client", owner: type) -> Callable[Arguments, Result]: ...

    def __get__(self, client: "Client | None", owner: type) -> Any:
        return self if client is None else getattr(client.backend, self._name)


class Client:
    """What is asked of ``backend``. Contracts and errors are told by :class:`VaultBackend`."""

    def __init__(self, backend: VaultBackend) -> None:
        self.backend = backend

    create_data_key = _Call(VaultBackend.create_data_key)
    create_data_keys = _Call(VaultBackend.create_data_keys)
    decrypt_data_key = _Call(VaultBackend.decrypt_data_key)
    decrypt_data_keys = _Call(VaultBackend.decrypt_data_keys)
    rekey_data_key = _Call(VaultBackend.rekey_data_key)
    create_object = _Call(VaultBackend.create_object)
    read_object = _Call(VaultBackend.read_object)
    read_object_by_name = _Call(VaultBackend.read_object_by_name)
    update_object = _Call(VaultBackend.update_object)
    delete_object = _Call(VaultBackend.delete_object)
    describe_object = _Call(VaultBackend.describe_object)
    list_object_versions = _Call(VaultBackend.list_object_versions)
    list_objects = _Call(VaultBackend.list_objects)
    iter_objects = _Call(VaultBackend.iter_objects)

    acreate_data_key = _Call(VaultBackend.acreate_data_key)
    acreate_data_keys = _Call(VaultBackend.acreate_data_keys)
    adecrypt_data_key = _Call(VaultBackend.adecrypt_data_key)
    adecrypt_data_keys = _Call(VaultBackend.adecrypt_data_keys)
    arekey_data_key = _Call(VaultBackend.arekey_data_key)
    acreate_object = _Call(VaultBackend.acreate_object)
    aread_object = _Call(VaultBackend.aread_object)
    aread_object_by_name = _Call(VaultBackend.aread_object_by_name)
    aupdate_object = _Call(VaultBackend.aupdate_object)
    adelete_object = _Call(VaultBackend.adelete_object)
    adescribe_object = _Call(VaultBackend.adescribe_object)
    alist_object_versions = _Call(VaultBackend.alist_object_versions)
    alist_objects = _Call(VaultBackend.alist_objects)
    aiter_objects = _Call(VaultBackend.aiter_objects)

    asks_again_in = _Call(VaultBackend.asks_again_in)
    forget_outage = _Call(VaultBackend.forget_outage)
    health = _Call(VaultBackend.health)
