"""What a request says of who asks and from where, and that it is really them."""

import time
from datetime import timedelta
from typing import Any

from django.contrib.auth import authenticate
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_workos_vault.access import AccessRecords, Entry, Limit, LimitReached
from django_workos_vault.admin_settings import AdminSettings
from django_workos_vault.exceptions import AccessNotRecorded
from django_workos_vault.reveal.refusals import Refused

_SESSION = "workos_vault_password_at"
_WRONG = "wrong password"
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
#: Wrong passwords within a quarter of an hour, from which on none is taken.
_WRONG_PASSWORDS = 5


def entry(request: HttpRequest, settings: AdminSettings, action: str, **told: str) -> Entry:
    """Return what goes on record of a request. Raises AccessNotRecorded when REMOTE_ADDRESS fails."""
    user: Any = request.user
    match = request.resolver_match
    return Entry(
        action,
        user_pk=str(user.pk),
        username=user.get_username(),
        remote_address=_remote_address(request, settings),
        view=match.view_name if match else "",
        **told,
    )


def _remote_address(request: HttpRequest, settings: AdminSettings) -> str:
    if isinstance(settings.remote_address, str):
        return str(request.META.get(settings.remote_address, ""))
    try:
        return str(settings.remote_address(request))
    except Exception as exc:
        raise AccessNotRecorded(f"REMOTE_ADDRESS failed: {type(exc).__name__}.") from exc


def needs_password(request: HttpRequest, settings: AdminSettings) -> bool:
    """Whether the user has to enter their password once more."""
    if settings.password_for is None:
        return False
    entered = request.session.get(_SESSION)
    if not isinstance(entered, int | float):
        return True
    return not 0 <= time.time() - entered < settings.password_for.total_seconds()


def check_password(request: HttpRequest, records: AccessRecords, told: Entry) -> None:
    """Take the password that was entered. Raises Refused when it is wrong, or was too often.

    ``told`` is what goes on record of a wrong one, but for the outcome.
    """
    user: Any = request.user
    limit = Limit("denied", _WRONG_PASSWORDS, timedelta(minutes=15), outcome=_WRONG)
    try:
        records.check(told, limit)
    except LimitReached:
        raise Refused(
            429, _("Too many wrong passwords. Try again in 15 minutes."), "too many passwords"
        ) from None
    found = authenticate(request, username=user.get_username(), password=request.POST.get("password", ""))
    if found is None or found.pk != user.pk:
        raise Refused(403, _("That is not your password."), _WRONG)
    request.session[_SESSION] = time.time()


def limits(action: str, settings: AdminSettings) -> list[Limit]:
    """Return what limits an action of a user."""
    if action == "match":
        return [Limit(action, settings.matches_an_hour, _HOUR)]
    return [] if settings.daily_limit is None else [Limit(action, settings.daily_limit, _DAY)]


def too_often(limit: Limit) -> Refused:
    """Return the refusal of somebody who has had as much as ``limit`` allows."""
    if limit.action == "match":
        told = ngettext(
            "You have made the %(most)d comparison that you may make in an hour.",
            "You have made the %(most)d comparisons that you may make in an hour.",
            limit.most,
        )
        return Refused(429, told % {"most": limit.most}, "hourly limit of comparisons")
    told = ngettext(
        "You have revealed the %(most)d value that you may reveal in 24 hours.",
        "You have revealed the %(most)d values that you may reveal in 24 hours.",
        limit.most,
    )
    return Refused(429, told % {"most": limit.most}, "daily limit")
