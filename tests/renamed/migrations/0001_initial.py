from django.db import migrations, models

from django_workos_vault.fields import EncryptedCharField


class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel(
            "Client",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("ssn", EncryptedCharField(max_length=11)),
                ("phone", models.CharField(max_length=20)),
                ("pinned", EncryptedCharField(max_length=11, label="pinned for good")),
            ],
        ),
    ]
