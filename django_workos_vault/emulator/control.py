"""What tests steer and read over HTTP, under ``/_emulator``. Not part of the WorkOS API."""

from django_workos_vault.emulator.call import Call
from django_workos_vault.emulator.messages import Answer, Refused


def list_events(call: Call) -> Answer:
    """Answer with the audit list, oldest event first."""
    return Answer(200, {"data": call.events.all()})


def revoke(call: Call) -> Answer:
    """Revoke the key of each item of ``{"context": {name: value}}``."""
    context = call.request.json().get("context")
    if not isinstance(context, dict) or not all(isinstance(value, str) for value in context.values()):
        raise Refused(422, "context must be given, as an object of strings.")
    for name, value in context.items():
        key_id = call.vault.revoke(name, value)
        call.record("vault.kek.deleted", key_name=name, key_id=key_id)
    return Answer(200, {"revoked": list(context)})


def show_faults(call: Call) -> Answer:
    """Answer with the fault settings."""
    return Answer(200, call.faults.settings())


def change_faults(call: Call) -> Answer:
    """Change the fault settings that the body names."""
    call.faults.change(call.request.json())
    return show_faults(call)
