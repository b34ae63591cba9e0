"""Pages that other packages have of their own: their values masked, their failures told."""

from typing import Any

from django.http import HttpRequest

from django_workos_vault.admin_lookups import encrypted_field
from django_workos_vault.masked_admin.column import MaskedColumn
from django_workos_vault.masked_admin.failures import TellsFailures, with_failure_in_form
from django_workos_vault.masked_admin.parts import MaskedPart
from django_workos_vault.masked_forms import FAILURES


class CompanionPages(TellsFailures):
    """What they call of a ``ModelAdmin`` that has their own class, or mixin, behind ours."""

    @property
    def _beyond(self) -> Any:
        return super()  # no stub knows what is there

    # django-import-export: exports, and the preview of imports

    def get_export_resource_classes(self, request: HttpRequest) -> Any:
        return _masked_resources(self._beyond.get_export_resource_classes(request))

    def get_import_resource_classes(self, request: HttpRequest) -> Any:
        return _masked_resources(self._beyond.get_import_resource_classes(request))

    # django-simple-history and django-reversion

    def history_form_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:  # django-simple-history opens every cell of the version to show
            return with_failure_in_form(self._beyond.history_form_view, request, *args, **kwargs)
        except FAILURES as exc:
            return self._tell_failure(request, exc, "../")

    def revision_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return with_failure_in_form(self._beyond.revision_view, request, *args, **kwargs)

    def recover_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return with_failure_in_form(self._beyond.recover_view, request, *args, **kwargs)

    def render_history_view(self, request: HttpRequest, template: str, context: Any, **kwargs: Any) -> Any:
        if "adminform" in context:
            context["adminform"] = MaskedPart(context["adminform"])
        for name in context.get("history_list_display", ()):
            for record in context["page_obj"]:
                field = encrypted_field(type(record), name)
                if field is not None:
                    setattr(record, name, MaskedColumn(field, name, self.get_empty_value_display())(record))
        return self._beyond.render_history_view(request, template, context, **kwargs)

    def get_historical_record_context_helper(self, request: HttpRequest, historical_record: Any) -> Any:
        helper = self._beyond.get_historical_record_context_helper(request, historical_record)
        prepare = helper.prepare_delta_change_value

        def prepare_masked(change: Any, value: Any) -> Any:
            field = encrypted_field(self.model, change.field)
            return prepare(change, value) if field is None or value is None else field.masked_or_marked(value)

        helper.prepare_delta_change_value = prepare_masked
        return helper


def _masked_resources(classes: Any) -> list[Any]:
    from django_workos_vault.exports import masked_resource  # there is such a class, so its package is there

    return [masked_resource(resource_class) for resource_class in classes]
