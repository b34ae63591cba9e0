"""URLs that serve files."""

from django.http import HttpRequest, HttpResponseBase
from django.urls import path

from django_workos_vault.files.views import EncryptedFileView, file_response
from tests.files.models import Report, Scan


def anyone(request: HttpRequest, pk: int) -> HttpResponseBase:
    kind = request.GET.get("type")
    inline = "inline" in request.GET
    return file_response(request, Scan.objects.get(pk=pk).file, content_type=kind, as_attachment=not inline)


urlpatterns = [
    path("scan/<int:pk>/", anyone, name="scan"),
    path("report/<uuid:pk>/", EncryptedFileView.as_view(model=Report, field="file"), name="report"),
]
