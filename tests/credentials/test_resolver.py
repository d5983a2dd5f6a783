"""From a storage key to a destination: what is not registered is refused by name."""

import pytest

from credentials.resolver import UnknownCredential, require


@pytest.mark.parametrize("kind", ["s3", "gcs", "sftp", "local"])
def test_what_is_not_registered(kind: str) -> None:
    with pytest.raises(UnknownCredential) as caught:
        require(kind, "my-key", subject="ann")
    assert kind in str(caught.value)
    assert "my-key" in str(caught.value)
