"""The parts of the masked admin; ``admin.MaskedAdminMixin`` is made of them."""
