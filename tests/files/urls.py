"""URLs that serve files."""

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path

from django_workos_vault.files.views import EncryptedFileView, file_response
from tests.files.models import Report, Scan

#: The ranges that were asked for.
asked: list[str] = []


def player(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(f"<video src='/scan/{pk}/?inline=1' muted controls></video>")


def anyone(request: HttpRequest, pk: int) -> HttpResponseBase:
    asked.extend(filter(None, [request.headers.get("Range")]))
    kind = request.GET.get("type")
    inline = "inline" in request.GET
    return file_response(request, Scan.objects.get(pk=pk).file, content_type=kind, as_attachment=not inline)


urlpatterns = [
    path("player/<int:pk>/", player),
    path("by-name/<path:name>", player, name="by-name"),
    path("scan/<int:pk>/", anyone, name="scan"),
    path("report/<uuid:pk>/", EncryptedFileView.as_view(model=Report, field="file"), name="report"),
]
