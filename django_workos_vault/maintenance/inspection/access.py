"""The chain of access records: is it whole, and where does it break first?"""

from collections.abc import Iterator

from django.db import router

from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError, WrongKey
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance.inspection.findings import Finding, advice_for
from django_workos_vault.maintenance.patience import patiently
from django_workos_vault.models import AccessChain, AccessRecord

_STEP, _SUBJECT = "access records", "chain"
_ADVICE = (
    "Somebody has written to the tables of the access records past this package. Keep them as they are, "
    "compare them with a backup and with what was exported or sent to your SIEM, and find out who did."
)


def inspect_access_records() -> Iterator[Finding]:
    """Yield one finding, of the whole chain or of its first break."""
    try:
        using = router.db_for_write(AccessChain)
        if not any(model.objects.using(using).exists() for model in (AccessChain, AccessRecord)):
            yield Finding(_STEP, _SUBJECT, "ok", "Nothing is on record yet.")
            return
        verified = patiently(vaults.access_records().verify)
    except (VaultError, InvalidVaultConfiguration) as exc:
        yield Finding(_STEP, _SUBJECT, "problem", str(exc), advice_for(exc))
    except WrongKey as exc:
        yield Finding(_STEP, _SUBJECT, "problem", str(exc), _ADVICE)
    else:
        if verified.found is not None:
            yield Finding(_STEP, _SUBJECT, "problem", verified.found.message, _ADVICE)
            return
        message = (
            f"Records {verified.first} to {verified.last} are one chain. The last one's HMAC: "
            f"{verified.mac or 'none yet'}."
        )
        yield Finding(_STEP, _SUBJECT, "ok", message)
