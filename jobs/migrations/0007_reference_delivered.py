from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0006_arrivals")]

    operations = [
        migrations.AddField(
            "reference", "delivered", models.BooleanField(default=False, db_default=False)
        ),
    ]
