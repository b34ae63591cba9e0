from django.db import migrations

from django_workos_vault.fields import EncryptedCharField


class Migration(migrations.Migration):
    dependencies = [("renamed", "0001_initial")]
    operations = [
        migrations.RenameField("client", "ssn", "national_id"),
        migrations.RenameField("client", "phone", "mobile"),
        migrations.RenameModel("Client", "Customer"),
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.AlterField("customer", "mobile", EncryptedCharField(max_length=20))]
        ),
        migrations.RenameField("customer", "pinned", "still_pinned"),
    ]
