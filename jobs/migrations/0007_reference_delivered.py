from django.db import migrations, models

# Those that were delivered already; records that are gone by now tell no more.
_MARK = """
UPDATE jobs_reference SET delivered = TRUE WHERE name IN (
    SELECT job.reference_id FROM jobs_delivery delivery
      JOIN jobs_rendition rendition ON rendition.id = delivery.rendition_id
      JOIN jobs_job job ON job.id = rendition.job_id)
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0006_arrivals")]

    operations = [
        migrations.AddField(
            "reference", "delivered", models.BooleanField(default=False, db_default=False)
        ),
        migrations.RunSQL(_MARK, migrations.RunSQL.noop),
    ]
