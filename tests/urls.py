"""URLs of the test site: the admin, and one beside it."""

from django.contrib import admin
from django.urls import path

from tests.app.admin import other_site

urlpatterns = [path("admin/", admin.site.urls), path("other/", other_site.urls)]
