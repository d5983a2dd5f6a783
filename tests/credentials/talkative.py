"""A backend of another package's, which repeats in its messages whatever it is given."""

from pydantic import Field, SecretStr, field_validator

from delivery.addresses import AddressPolicy
from delivery.backends.base import Options, Store
from delivery.destination import Destination
from delivery.errors import DeliveryError


class TalkativeOptions(Options):
    """`crash` raises what is no ValidationError."""

    place: str = Field(title="Place", description="Anywhere.")
    password: SecretStr = Field(title="Password", description="Of the place.")
    crash: bool = Field(False, title="Crash", description="Whether to.")

    @field_validator("password")
    @classmethod
    def _is_long(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 30:
            raise ValueError(f"{value.get_secret_value()} is too short")
        return value

    def model_post_init(self, context: object) -> None:
        if self.crash:
            raise RuntimeError(f"no way with {self.password.get_secret_value()}")


class Talkative:
    """Cannot be reached."""

    type = "talkative"
    options_model = TalkativeOptions

    def open(self, destination: Destination, policy: AddressPolicy) -> Store:
        raise DeliveryError("auth_failed", f"not with {destination.secret['password']}", True)
