"""An admin site with the models that have a file beside every type, masked where they are encrypted."""

from django.contrib.admin import AdminSite, ModelAdmin
from django.urls import path

from django_workos_vault.admin import MaskedAdminMixin
from tests.app.everything import EACH_TYPE
from tests.files.beside import FOLDERS, PlainFolder

#: what has an input in a form that takes what it shows
SHOWN = [name for name in EACH_TYPE if name not in ("binary", "fraction", "range")]


class PlainAdmin(ModelAdmin):
    fields = ("tenant", *SHOWN, "file", "image")


class MaskedAdmin(MaskedAdminMixin, PlainAdmin):
    pass


site = AdminSite(name="admin")
site.register(PlainFolder, PlainAdmin)
site.register(FOLDERS, MaskedAdmin)
urlpatterns = [path("admin/", site.urls)]
