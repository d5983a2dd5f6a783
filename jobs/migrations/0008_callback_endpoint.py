from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0007_reference_delivered")]

    operations = [
        migrations.AddField(
            "callback",
            "endpoint",
            models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=2048
            ),
        ),
    ]
