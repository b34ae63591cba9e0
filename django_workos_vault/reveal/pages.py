"""The pages of a reveal: what is asked, the value, or why there is none. No cache keeps any of them."""

from typing import Any, TypeVar

from django.contrib.admin.utils import quote
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import patch_cache_control

from django_workos_vault.frame_locals import leaves_no_locals

Response = TypeVar("Response", bound=HttpResponseBase)


@leaves_no_locals
def page(
    model_admin: Any, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """Return a page of the admin, rendered at once: no middleware gets to see the context."""
    request.current_app = model_admin.admin_site.name
    whole = {**model_admin.admin_site.each_context(request), "opts": model_admin.opts, **context}
    try:
        html = render_to_string(f"django_workos_vault/{template}", whole, request)
    except Exception as exc:
        # A project's own template failed: its frames, and those of what it came of, hold the value.
        exc.__cause__ = exc.__context__ = None
        raise exc.with_traceback(None) from None
    return without_traces(HttpResponse(html, status=status))


def without_traces(response: Response) -> Response:
    """Return ``response``, for no cache to keep and no other page to frame."""
    patch_cache_control(response, no_store=True, private=True)
    response.headers.setdefault("X-Frame-Options", "DENY")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response


def address(model_admin: Any, name: str, *args: Any) -> str:
    """Return the address of one of a ModelAdmin's pages, on its own site."""
    opts = model_admin.opts
    return reverse(
        f"admin:{opts.app_label}_{opts.model_name}_{name}",
        args=[quote(str(each)) for each in args],
        current_app=model_admin.admin_site.name,
    )
