import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0003_deliveries'),
    ]

    operations = [
        migrations.AddField(
            model_name='delivery',
            name='since',
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
    ]
