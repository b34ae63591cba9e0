"""What becomes of old access records: written out as lines of JSON, and pruned from the chain's beginning."""

import json
from collections.abc import Iterator
from datetime import datetime

from django.forms.models import model_to_dict

from django_workos_vault.access.entries import moment_of
from django_workos_vault.access.verification import walk
from django_workos_vault.models import AccessChain, AccessRecord


def lines(alias: str) -> Iterator[str]:
    """Yield each record as one line of JSON, the oldest first."""
    for record in AccessRecord.objects.using(alias).order_by("sequence").iterator():
        told = model_to_dict(record, exclude=["id"]) | {"at": moment_of(record)}
        yield json.dumps(told, ensure_ascii=False)


def prune(chain: AccessChain, key: bytes, alias: str, before: datetime) -> int:
    """Delete the records before ``before``, a moment as the column has it, and anchor ``chain`` behind them.

    The number of them is returned; the chain is not saved. What goes is verified first: raises Broken.
    """
    kept = AccessRecord.objects.using(alias).filter(at__gte=before).order_by("sequence").first()
    last = kept.sequence - 1 if kept else chain.sequence
    gone = 0
    for record in walk(chain, key, alias, up_to=last):
        gone += 1
        chain.pruned_sequence, chain.pruned_mac = record.sequence, record.mac
    AccessRecord.objects.using(alias).filter(sequence__lte=last).delete()
    return gone
